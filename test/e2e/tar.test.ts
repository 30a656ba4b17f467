import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TAR_END, tarFile, tarHead, tarPadding } from "../../src/shared/tar.ts";

const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

/** What the system's tar makes of an archive. */
function extract(parts: readonly Uint8Array[]): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), "r2-failover-tar-"));
  directories.push(directory);
  execFileSync("tar", ["-xf", "-", "-C", directory], { input: Buffer.concat(parts), stdio: "pipe" });
  return (name) => readFileSync(join(directory, name), "utf8");
}

const NOW = Date.parse("2026-02-01T12:00:00Z");

test("the system's tar reads files of every size around a block's", () => {
  const sizes = [0, 1, 511, 512, 513, 1_024, 5_000];
  const parts = sizes.map((size) => tarFile(`files/${size}`, "x".repeat(size), NOW));
  const read = extract([...parts, TAR_END]);
  for (const size of sizes) expect(read(`files/${size}`)).toBe("x".repeat(size));
});

test.each([99, 100, 101, 120, 149, 250])("a name of %d characters stays whole", (length) => {
  const name = `payloads/${"n".repeat(length - "payloads/".length)}`;
  expect(extract([tarFile(name, "content", NOW), TAR_END])(name)).toBe("content");
});

test("a file may be longer than eleven octal digits can say", () => {
  const size = 9 * 1024 ** 3;
  const head = tarHead("payloads/large", size, NOW);
  const { stdout } = spawnSync("tar", ["-tvf", "-"], { input: Buffer.concat([head, new Uint8Array(512)]) });
  expect(String(stdout)).toMatch(new RegExp(` ${size} .*payloads/large`));
});

test("without its end an archive is cut off, and tar says so of a file that breaks off", () => {
  const cut = Buffer.concat([tarHead("a", 2_000, NOW), new Uint8Array(700)]);
  const run = () => execFileSync("tar", ["-tf", "-"], { input: cut, stdio: "pipe" });
  expect(run).toThrow(/Unexpected EOF|unexpected end/i);
});

test("padding fills the last block", () => {
  for (const size of [0, 1, 511, 512, 513]) expect((size + tarPadding(size).byteLength) % 512).toBe(0);
});
