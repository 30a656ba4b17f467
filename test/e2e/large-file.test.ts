import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readBucket } from "../drill/bucket.ts";
import { Client } from "../drill/client.ts";
import { type System, startSystem } from "../drill/system.ts";
import { type CurlAnswer, curl } from "./curl.ts";

const MIB = 1024 * 1024;
const SIZE = 100 * MIB + 1_234_567;
const KEY = "films/large.bin";
const IN_PARTS = "films/in-parts.bin";
/** Of the same file: its beginning, in two parts. */
const PARTS_SIZE = 30 * MIB;
const PART_SIZE = 24 * MIB;
const TYPE = "Content-Type: video/x-test";
const RECOVERY_MS = 240_000;

/** What curl is told, and the first and last byte that it means. Payload rows hold 1 MiB. */
const RANGES: readonly [range: string, first: number, last: number][] = [
  ["0-0", 0, 0],
  [`${MIB - 3}-${MIB + 3}`, MIB - 3, MIB + 3],
  [`${20 * MIB}-${60 * MIB - 1}`, 20 * MIB, 60 * MIB - 1],
  [`${SIZE - 1}-`, SIZE - 1, SIZE - 1],
  ["-1300000", SIZE - 1_300_000, SIZE - 1],
];

let directory: string;
let system: System | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "r2-failover-large-"));
});

afterEach(async () => {
  await system?.kill();
  await rm(directory, { recursive: true, force: true });
});

it("101 MiB at once, and 30 in parts, go up and come back by curl in an outage, whole and in ranges, and are in R2 after the drain", async () => {
  const file = await randomFile();
  system = await startSystem(join(directory, "state"));
  const client = new Client(system.url);
  const download = (key: string, ...args: string[]) => request(`${system?.url}/r2/${key}`, ...args);
  // The longest wait for the next probe: a short outage ends as soon as R2 is back.
  await client.setConfig("R2_STORAGE", "circuit_breaker_timeout", 500);
  // A completion waits until every lease from before the outage has run out, and every call with it.
  await client.setConfig("R2_STORAGE", "lease_cap_ms", 1_000);
  await client.setConfig("R2_STORAGE", "write_timeout_ms", 10_000);
  await client.setFaults([{ operations: "all", error_code: 10001 }]);

  const put = await request(`${system.url}/r2/${KEY}`, "--upload-file", file.path, "--header", TYPE);
  expect([put.status, await told(put)]).toEqual([
    202,
    expect.objectContaining({ queued: true, size: SIZE, etag: file.md5 }),
  ]);

  const whole = await download(KEY);
  expect([whole.status, whole.headers.get("x-failover-source")]).toEqual([200, "queue"]);
  expect(whole.headers.get("content-length")).toBe(String(SIZE));
  expect(await sha256(whole.path)).toBe(file.sha256);

  for (const [range, first, last] of RANGES) {
    const part = await download(KEY, "--range", range);
    expect([part.status, part.headers.get("content-range")]).toEqual([206, `bytes ${first}-${last}/${SIZE}`]);
    expect(await sha256(part.path), range).toBe(await sha256(file.path, first, last));
  }

  const uploaded = await uploadInParts(`${system.url}/r2/${IN_PARTS}`, file.path);
  expect(uploaded).toMatchObject({ status: 202, queued: true, size: PARTS_SIZE });
  const beginning = await sha256(file.path, 0, PARTS_SIZE - 1);
  const joined = await download(IN_PARTS);
  expect([joined.status, joined.headers.get("x-failover-source")]).toEqual([200, "queue"]);
  expect(await sha256(joined.path)).toBe(beginning);
  // Over the end of the first part.
  const between = await download(IN_PARTS, "--range", `${PART_SIZE - 5}-${PART_SIZE + 4}`);
  expect([between.status, between.headers.get("content-range")]).toEqual([
    206,
    `bytes ${PART_SIZE - 5}-${PART_SIZE + 4}/${PARTS_SIZE}`,
  ]);
  expect(await sha256(between.path)).toBe(await sha256(file.path, PART_SIZE - 5, PART_SIZE + 4));

  await client.clearFaults();
  await recovered(client);
  const sent = [
    { key: KEY, size: SIZE, etag: file.md5, sha256: file.sha256 },
    { key: IN_PARTS, size: PARTS_SIZE, etag: String(uploaded.etag), sha256: beginning },
  ];
  for (const one of sent) {
    const drained = await download(one.key);
    expect([drained.status, drained.headers.get("x-failover-source")]).toEqual([200, "primary"]);
    expect(drained.headers.get("etag")).toBe(`"${one.etag}"`);
    expect(await sha256(drained.path)).toBe(one.sha256);
  }

  await system.stop();
  const stored = sent.map(
    ({ key, ...one }) => [key, { ...one, contentType: "video/x-test", customMetadata: {} }] as const,
  );
  expect(await readBucket(join(directory, "state"))).toEqual(new Map(stored));
});

it("a body that curl sends in chunks, without saying how long it is, is taken up to 1 MiB and refused beyond, outage or not", async () => {
  system = await startSystem(join(directory, "state"));
  const client = new Client(system.url);
  const send = async (bytes: number) => {
    const path = join(directory, `${bytes}`);
    await writeFile(path, randomBytes(bytes));
    const chunked = ["--header", "Transfer-Encoding: chunked", "--upload-file", path];
    const answer = await curl(
      `${system?.url}/r2/chunked`,
      ["--header", "Authorization: Bearer dev-r2", ...chunked],
      directory,
    );
    const { size, code } = await told(answer);
    return [answer.status, code ?? size];
  };

  expect(await send(MIB)).toEqual([200, MIB]);
  expect(await send(MIB + 1)).toEqual([400, "INVALID_REQUEST"]);
  await client.setFaults([{ operations: "all", error_code: 10001 }]);
  expect(await send(MIB)).toEqual([202, MIB]);
  expect(await send(MIB + 1)).toEqual([400, "INVALID_REQUEST"]);
});

function request(url: string, ...args: string[]): Promise<CurlAnswer> {
  return curl(url, ["--header", "Authorization: Bearer dev-r2", ...args], directory);
}

/** As the gateway's multipart calls have it. What the completion answers, with its status. */
async function uploadInParts(url: string, path: string): Promise<Record<string, unknown>> {
  const begun = await told(await request(`${url}?uploads`, "--request", "POST", "--header", TYPE));
  const upload = `uploadId=${encodeURIComponent(String(begun.upload_id))}`;
  const parts: unknown[] = [];
  for (let at = 0; at < PARTS_SIZE; at += PART_SIZE) {
    const part = join(directory, "part");
    const end = Math.min(at + PART_SIZE, PARTS_SIZE) - 1;
    await pipeline(createReadStream(path, { start: at, end }), createWriteStream(part));
    const answer = await request(`${url}?partNumber=${parts.length + 1}&${upload}`, "--upload-file", part);
    parts.push(await told(answer));
    expect([answer.status, parts.at(-1)]).toEqual([200, { part_number: parts.length, etag: expect.any(String) }]);
  }
  const list = ["--header", "Content-Type: application/json", "--data", JSON.stringify({ parts })];
  const completed = await request(`${url}?${upload}`, ...list);
  return { status: completed.status, ...(await told(completed)) };
}

async function randomFile(): Promise<{ path: string; sha256: string; md5: string }> {
  const path = join(directory, "original");
  const handle = await open(path, "w");
  const [sha, md5] = [createHash("sha256"), createHash("md5")];
  for (let left = SIZE; left > 0; left -= MIB) {
    const bytes = randomBytes(Math.min(left, MIB));
    sha.update(bytes);
    md5.update(bytes);
    await handle.write(bytes);
  }
  await handle.close();
  return { path, sha256: sha.digest("hex"), md5: md5.digest("hex") };
}

/** Of the bytes `first` to `last` of a file. */
async function sha256(path: string, first = 0, last = Number.POSITIVE_INFINITY): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path, { start: first, end: last })) hash.update(bytes);
  return hash.digest("hex");
}

async function told({ path }: CurlAnswer): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, "utf8"));
}

/** All that was queued is in R2, and every call is admitted again. */
async function recovered(client: Client): Promise<void> {
  const state = async () => {
    const { circuits } = await client.status();
    return [(await client.queue()).total_size, circuits.read.admit, circuits.write.admit];
  };
  await expect.poll(state, { timeout: RECOVERY_MS, interval: 100 }).toEqual([0, 1, 1]);
}
