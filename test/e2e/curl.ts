/** One HTTP call by curl: another client than Node's, and one that sends and takes files without holding them. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface CurlAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The file that the body was written to. */
  readonly path: string;
}

/** Calls `url` with curl's own `args`; the answer's body goes to a file in `directory`. Rejects when there is no answer. */
export async function curl(url: string, args: readonly string[], directory: string): Promise<CurlAnswer> {
  const path = join(directory, `curl-${randomUUID()}`);
  const own = ["--silent", "--show-error", "--output", path, "--dump-header", `${path}.headers`];
  const status = await run([...own, "--write-out", "%{http_code}", ...args, url]);
  const headers = lastHeaders(await readFile(`${path}.headers`, "latin1"));
  return { status: Number(status), headers, path };
}

function run(args: readonly string[]): Promise<string> {
  const child = spawn("curl", args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let problems = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    problems += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new Error("curl could not be started. Install it: this test needs it.", { cause })),
    );
    child.once("close", (exitCode) => {
      if (exitCode === 0) resolve(output);
      else reject(new Error(`curl ended with exit code ${exitCode}: ${problems}`));
    });
  });
}

/** The dump holds every answer's headers, "100 Continue" first. */
function lastHeaders(dump: string): Headers {
  const last = dump.trimEnd().split("\r\n\r\n").at(-1) ?? "";
  const lines = last.split("\r\n").slice(1);
  return new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
}
