import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import {
  bytes,
  counts,
  ended,
  HOLDING,
  inR2,
  isSame,
  MIB,
  PLAIN,
  pause,
  putRequest,
  readAll,
  restart,
  resume,
  rows,
  shard,
  start,
  statusOf,
  stored,
  streamOf,
  text,
} from "./support";

const key = (letter: string, id: string) => `${id}:${btoa(letter.repeat(32))}`;
const KEY_A = key("a", "key-a");
const KEY_B = key("b", "key-b");

/** A shard reads its keys when it is made. */
async function withKeys(n: number, current: string | undefined, previous?: string): Promise<void> {
  Object.assign(env, { PAYLOAD_ENCRYPTION_KEY: current, PAYLOAD_ENCRYPTION_KEY_PREVIOUS: previous });
  await restart(n);
}

beforeAll(async () => {
  await start();
});
beforeEach(async () => {
  await pause();
});
afterEach(() => {
  Object.assign(env, { PAYLOAD_ENCRYPTION_KEY: undefined, PAYLOAD_ENCRYPTION_KEY_PREVIOUS: undefined });
});

const SECRET = { ...PLAIN, customMetadata: { patient: "Jane Roe" } };

describe("with a key", () => {
  it("no row of the shard shows a byte of a payload, or its metadata", async () => {
    await withKeys(0, KEY_A);
    const plain = text("the quick brown fox jumps over the lazy dog. ".repeat(100));
    stored(await shard(0).enqueue(putRequest("fox", "small", { metadata: SECRET }), plain));
    stored(await shard(0).enqueue(putRequest("foxes", "large", { metadata: SECRET }), streamOf(plain, [1_000])));
    const dump = await everything(0);
    expect(dump).toContain("key-a");
    expect(dump).not.toContain("quick brown");
    expect(dump).not.toContain("Jane Roe");
    expect(dump).not.toContain("patient");
  });

  it("equal payloads are stored as different bytes", async () => {
    await withKeys(1, KEY_A);
    for (const id of ["one", "two"]) stored(await shard(1).enqueue(putRequest(id, id), bytes(1_000)));
    const chunks = await rows<{ data: ArrayBuffer }>(1, "SELECT data FROM payload_chunks");
    const [one, two] = chunks.map(({ data }) => new Uint8Array(data));
    expect(one !== undefined && two !== undefined && isSame(one, two)).toBe(false);
  });

  it("a payload comes back as it was, whole, in ranges and in R2", async () => {
    await withKeys(2, KEY_A);
    const data = bytes(2.5 * MIB);
    const request = putRequest("sealed", "put", { metadata: SECRET });
    stored(await shard(2).enqueue(request, streamOf(data, [100_003])));
    expect(isSame(await readAll(await shard(2).payload(request.operationId, 0, data.byteLength)), data)).toBe(true);
    const part = await readAll(await shard(2).payload(request.operationId, MIB - 5, 10));
    expect(isSame(part, data.subarray(MIB - 5, MIB + 5))).toBe(true);
    expect((await shard(2).peek("sealed")).pending?.metadata).toEqual(SECRET);
    await resume();
    expect((await ended(2, request.operationId)).status).toBe("COMPLETED");
    const object = await env.R2_BUCKET.get("sealed");
    expect(object?.customMetadata).toEqual(SECRET.customMetadata);
    expect(isSame(new Uint8Array((await object?.arrayBuffer()) ?? new ArrayBuffer()), data)).toBe(true);
  });

  it("a customer key is queued, sealed; without one it is refused and nothing is stored", async () => {
    await withKeys(3, KEY_A);
    const ssecKey = "0123456789abcdef".repeat(4);
    const request = putRequest("customer", "put", { metadata: { ...PLAIN, ssecKey } });
    stored(await shard(3).enqueue(request, text("x")));
    expect(await everything(3)).not.toContain(ssecKey);
    await withKeys(4, undefined);
    expect(await shard(4).enqueue(request, text("x"))).toMatchObject({ ok: false, code: "SSEC_NEEDS_ENCRYPTION" });
    expect(await counts(4)).toMatchObject({ operation_queue: 0, payload_chunks: 0 });
  });
});

describe("rows that were tampered with", () => {
  const swap = (n: number, query: string) =>
    runInDurableObject(shard(n), (_: QueueDO, state) => void state.storage.sql.exec(query));

  it("chunks of two operations that changed places never reach R2: both end as dead letters", async () => {
    await withKeys(5, KEY_A);
    for (const id of ["left", "right"]) stored(await shard(5).enqueue(putRequest(id, id), text(id)));
    await swap(5, `UPDATE payload_chunks SET n = -1 WHERE operation_id LIKE '%-left'`);
    await swap(5, `UPDATE payload_chunks SET operation_id = REPLACE(operation_id, '-right', '-right-') WHERE n = 0`);
    const [left] = await rows<{ id: string }>(5, "SELECT operation_id AS id FROM operation_queue WHERE key = 'left'");
    const [right] = await rows<{ id: string }>(5, "SELECT operation_id AS id FROM operation_queue WHERE key = 'right'");
    await swap(5, `UPDATE payload_chunks SET operation_id = '${left?.id}', n = 0 WHERE operation_id LIKE '%-right-'`);
    await swap(5, `UPDATE payload_chunks SET operation_id = '${right?.id}', n = 0 WHERE n = -1`);
    await resume();
    for (const id of [left?.id ?? "", right?.id ?? ""]) {
      expect(await ended(5, id)).toMatchObject({
        status: "FAILED",
        error_message: expect.stringContaining("not whole"),
      });
    }
    expect(await inR2("left")).toBeNull();
    expect(await inR2("right")).toBeNull();
  });

  it("chunks of one operation that changed places break its stream, and never reach R2", async () => {
    await withKeys(6, KEY_A);
    const request = putRequest("shuffled", "put");
    stored(await shard(6).enqueue(request, bytes(3 * MIB)));
    await swap(6, "UPDATE payload_chunks SET n = n + 10");
    await swap(6, "UPDATE payload_chunks SET n = CASE n WHEN 10 THEN 0 WHEN 11 THEN 2 ELSE 1 END");
    const read = async () => await readAll(await shard(6).payload(request.operationId, 0, 3 * MIB));
    await expect(read()).rejects.toThrow();
    await resume();
    expect(await ended(6, request.operationId)).toMatchObject({ status: "FAILED" });
    expect(await inR2("shuffled")).toBeNull();
  });
});

describe("a rotation", () => {
  it("reads what the previous key has sealed, and seals with the current one", async () => {
    await withKeys(7, KEY_A);
    const old = putRequest("rotated-old", "put");
    stored(await shard(7).enqueue(old, text("sealed by a")));
    await withKeys(7, KEY_B, KEY_A);
    stored(await shard(7).enqueue(putRequest("rotated-new", "put"), text("sealed by b")));
    expect(await rows(7, "SELECT key, key_id FROM operation_queue ORDER BY id")).toEqual([
      { key: "rotated-old", key_id: "key-a" },
      { key: "rotated-new", key_id: "key-b" },
    ]);
    await resume();
    await ended(7, old.operationId);
    expect(await inR2("rotated-old")).toEqual(text("sealed by a"));
  });

  it("reads what was stored in clear before there was a key", async () => {
    await withKeys(8, undefined);
    const request = putRequest("clear", "put");
    stored(await shard(8).enqueue(request, text("in clear")));
    await withKeys(8, KEY_A);
    expect(await readAll(await shard(8).payload(request.operationId, 0, 8))).toEqual(text("in clear"));
  });

  it("that forgets a key holds its operations and fails none; they go on when it is back", async () => {
    await withKeys(9, KEY_A);
    const held = putRequest("forgotten", "put");
    stored(await shard(9).enqueue(held, text("sealed by a")));
    await withKeys(9, KEY_B);
    const other = putRequest("other", "put");
    stored(await shard(9).enqueue(other, text("sealed by b")));
    await resume();
    expect((await ended(9, other.operationId)).status).toBe("COMPLETED");
    await expect
      .poll(async () => (await shard(9).operation(held.operationId))?.error_message)
      .toContain('PAYLOAD_ENCRYPTION_KEY "key-a" is not configured');
    expect(await shard(9).operation(held.operationId)).toMatchObject({ status: "PENDING", retry_count: 0 });
    expect(await inR2("forgotten")).toBeNull();

    await withKeys(9, KEY_B, KEY_A);
    await shard(9).retry(held.operationId, false, { actor: "operator", requestId: "r" });
    await expect.poll(() => statusOf(9, held.operationId), { timeout: 15_000 }).toBe("COMPLETED");
    expect(await inR2("forgotten")).toEqual(text("sealed by a"));
  });

  it("to a key that is malformed refuses the write, and does not break the shard", async () => {
    await withKeys(10, "not a key");
    const sent = async () => await shard(10).enqueue(putRequest("a", "put"), text("x"));
    await expect(sent()).rejects.toThrow("PAYLOAD_ENCRYPTION_KEY must be");
    expect(await counts(10)).toMatchObject({ operation_queue: 0, payload_chunks: 0, receipts: 0 });
    expect(await shard(10).usage()).toMatchObject({ pending: 0 });
  });
});

/** Every value of every table, bytes as Latin-1 text. */
async function everything(n: number): Promise<string> {
  const tables = ["operation_queue", "meta", "event_outbox", ...HOLDING];
  const all = await Promise.all(tables.map((table) => rows(n, `SELECT * FROM ${table}`)));
  return all
    .flat()
    .flatMap((row) => Object.values(row))
    .map((value) => (value instanceof ArrayBuffer ? new TextDecoder("latin1").decode(value) : String(value)))
    .join("\n");
}
