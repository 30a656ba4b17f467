/** The files of the drill: every file of an installed package, one of 20 MiB, an empty one, and some odd names. */
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative } from "node:path";
import type { Random } from "./random.ts";

export interface SourceFile {
  readonly key: string;
  readonly body: Uint8Array;
  readonly contentType: string;
}

export const LARGE_KEY = "drill/large-20-mib.bin";
const LARGE_BYTES = 20 * 1024 * 1024;
const QUICK_FILES = 40;

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".cjs": "text/javascript",
  ".cts": "text/typescript",
  ".js": "text/javascript",
  ".json": "application/json",
  ".map": "application/json",
  ".md": "text/markdown; charset=utf-8",
  ".ts": "text/typescript",
  ".txt": "text/plain; charset=utf-8",
};

export async function readCorpus(packageDirectory: string, random: Random, quick: boolean): Promise<SourceFile[]> {
  const entries = await readdir(packageDirectory, { recursive: true, withFileTypes: true });
  const all = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const paths = quick ? random.shuffled(all).slice(0, QUICK_FILES) : all;
  const files = await Promise.all(
    paths.map(async (path) => ({
      key: `typescript/${relative(packageDirectory, path)}`,
      body: new Uint8Array(await readFile(path)),
      contentType: CONTENT_TYPES[extname(path)] ?? "application/octet-stream",
    })),
  );
  const text = (key: string): SourceFile => ({
    key,
    body: new TextEncoder().encode(`the file called ${key}`),
    contentType: "text/plain; charset=utf-8",
  });
  return [
    ...files,
    { key: LARGE_KEY, body: random.bytes(LARGE_BYTES), contentType: "application/octet-stream" },
    { key: "drill/empty", body: new Uint8Array(0), contentType: "text/plain; charset=utf-8" },
    text("drill/ä name with blanks & 100 %/日本.txt"),
    text("drill/question?mark#hash+plus"),
    text("drill/👍🏽 e\u0301.txt"),
  ];
}
