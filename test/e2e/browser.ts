/** A Chromium for tests: the machine's own, or the one that a devDependency carries, unpacked once. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";
import project from "../../package.json" with { type: "json" };

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const INSTALLED = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const UNPACK = 'const { default: chromium } = await import("@sparticuz/chromium"); await chromium.executablePath();';

export async function launchBrowser(): Promise<Browser> {
  const installed = INSTALLED.find((path) => existsSync(path));
  const folder = installed === undefined ? await unpacked() : null;
  const carried =
    folder === null ? {} : { LD_LIBRARY_PATH: join(folder, "al2023", "lib"), FONTCONFIG_PATH: join(folder, "fonts") };
  return chromium.launch({
    executablePath: installed ?? join(folder ?? "", "chromium"),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--no-first-run",
    ],
    env: { ...process.env, ...((await hasLibraries()) ? {} : carried) } as Record<string, string>,
  });
}

/** Whether the machine has what Chromium needs beside itself. */
async function hasLibraries(): Promise<boolean> {
  const { stdout } = await run("ldconfig", ["-p"]).catch(() => ({ stdout: "" }));
  return stdout.includes("libnss3.so");
}

/** In a process of its own, since it goes by the environment; under its name only when it is whole. */
async function unpacked(): Promise<string> {
  const folder = join(tmpdir(), `r2-failover-chromium-${project.devDependencies["@sparticuz/chromium"]}`);
  if (existsSync(folder)) return folder;
  const fresh = await mkdtemp(`${folder}-`);
  await run(process.execPath, ["--input-type=module", "-e", UNPACK], {
    cwd: ROOT,
    // So that it unpacks the libraries that a bare machine lacks, too.
    env: { ...process.env, TMPDIR: fresh, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x" },
  });
  await rename(fresh, folder).catch(async (error: unknown) => {
    await rm(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  });
  return folder;
}
