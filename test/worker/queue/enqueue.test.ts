import { runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, it, test } from "vitest";
import type { QueueDO } from "../../../durable-objects/queue/queue-do";
import { createCounters, take } from "../../../src/circuit/reporter";
import { hashKey } from "../../../src/shared/keys";
import type { EnqueueRequest, Snapshot } from "../../../src/shared/protocol";
import {
  bytes,
  counts,
  deleteRequest,
  isSame,
  MIB,
  md5,
  PLAIN,
  pause,
  putRequest,
  readAll,
  rows,
  service,
  shard,
  start,
  stored,
  streamOf,
  text,
} from "./support";

beforeAll(async () => {
  await start();
  await pause();
});

/** A promise of its own: an RPC promise is a function as well, which `expect` would call. */
async function sent(n: number, request: EnqueueRequest, body: Uint8Array | ReadableStream<Uint8Array>) {
  return await shard(n).enqueue(request, body);
}

describe("the same operation id again", () => {
  it("is answered with the same operation when the write is the same", async () => {
    const request = putRequest("a", "again");
    const first = await shard(1).enqueue(request, text("hello"));
    const second = await shard(1).enqueue(request, text("hello"));
    expect(second).toEqual(first);
    expect(await counts(1)).toMatchObject({ operation_queue: 1, payload_chunks: 1 });
  });

  test.each([
    { rule: "other bytes", request: putRequest("b", "reused"), body: text("other") },
    {
      rule: "other metadata",
      request: putRequest("b", "reused", { metadata: { ...PLAIN, customMetadata: { a: "1" } } }),
      body: text("hello"),
    },
    { rule: "another key", request: { ...putRequest("b", "reused"), key: "c" }, body: text("hello") },
    { rule: "a delete", request: deleteRequest("b", "reused"), body: null },
  ])("is refused when it carries $rule", async ({ request, body }) => {
    const first = await shard(2).enqueue(putRequest("b", "reused"), text("hello"));
    const before = await counts(2);
    expect(await shard(2).enqueue(request, body)).toMatchObject({ ok: false, code: "OPERATION_ID_REUSED" });
    expect(await counts(2)).toEqual(before);
    expect(await shard(2).enqueue(putRequest("b", "reused"), text("hello"))).toEqual(first);
  });

  it("makes one operation of two calls at the same time", async () => {
    const request = putRequest("a", "twice");
    const [first, second] = await Promise.all([
      shard(3).enqueue(request, text("hello")),
      shard(3).enqueue(request, text("hello")),
    ]);
    expect(stored(second)).toEqual(stored(first));
    expect(await counts(3)).toMatchObject({ operation_queue: 1, payload_chunks: 1, receipts: 0 });
  });

  it("makes one operation of two streams at the same time, and loses no byte of it", async () => {
    const data = bytes(2.5 * MIB);
    const request = putRequest("a", "two-streams");
    const replies = await Promise.all([
      shard(4).enqueue(request, streamOf(data, [100_003])),
      shard(4).enqueue(request, streamOf(data, [70_001])),
    ]);
    const [accepted] = replies.filter((reply) => reply.ok);
    const [refused] = replies.filter((reply) => !reply.ok);
    expect(accepted).toBeDefined();
    expect(refused).toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 1 });
    expect(await counts(4)).toMatchObject({ operation_queue: 1, payload_chunks: 3, receipts: 0 });
    expect(isSame(await readAll(await shard(4).payload(request.operationId, 0, data.byteLength)), data)).toBe(true);
  });

  it("makes one operation of a stream and a buffer at the same time, and loses no byte of it", async () => {
    const data = bytes(500_000);
    const request = putRequest("a", "stream-and-buffer");
    const replies = await Promise.all([
      shard(5).enqueue(request, streamOf(data, [10_007])),
      shard(5).enqueue(request, data),
    ]);
    for (const reply of replies) if (!reply.ok) expect(reply.code).toBe("SERVICE_UNAVAILABLE");
    expect(replies.some((reply) => reply.ok)).toBe(true);
    expect(await counts(5)).toMatchObject({ operation_queue: 1, payload_chunks: 1, receipts: 0 });
    expect(isSame(await readAll(await shard(5).payload(request.operationId, 0, data.byteLength)), data)).toBe(true);
  });

  it("is accepted as a whole after a first try that broke midway", async () => {
    const data = bytes(2.5 * MIB);
    for (const breakAt of [1, 1.5 * MIB]) {
      const request = putRequest("a", `broken-at-${breakAt}`);
      await expect(sent(6, request, streamOf(data, [65_536], breakAt))).rejects.toThrow("disconnected prematurely");
      stored(await shard(6).enqueue(request, streamOf(data, [65_536])));
      // What was left of the first try is freed by now.
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(isSame(await readAll(await shard(6).payload(request.operationId, 0, data.byteLength)), data)).toBe(true);
    }
  });
});

describe("a condition", () => {
  it("of a write that comes twice at the same time is not decided against itself", async () => {
    const request = putRequest("create-once", "twice", { condition: { etagDoesNotMatch: ["*"] } });
    let looks = 0;
    let isAnswered = false;
    // Both have looked at R2 before the first goes on, and the second goes on when the first has been answered.
    await runInDurableObject(shard(14), (instance: QueueDO) => {
      instance.steps = {
        at: async (step, work) => {
          const value = await work;
          if (step !== "enqueue.decide") return value;
          looks += 1;
          const mayGoOn = looks === 1 ? () => looks >= 2 : () => looks > 2 || isAnswered;
          while (!mayGoOn()) await new Promise((resolve) => setTimeout(resolve, 5));
          return value;
        },
      };
    });
    const sent = [1, 2].map(async () => {
      const reply = await shard(14).enqueue(request, text("hello"));
      isAnswered = true;
      return stored(reply);
    });
    const [one, two] = await Promise.all(sent);
    expect(looks).toBeGreaterThanOrEqual(2);
    expect(two).toEqual(one);
  });

  it("that fails stores nothing", async () => {
    stored(await shard(14).enqueue(putRequest("taken", "first"), text("hello")));
    const before = await counts(14);
    const request = putRequest("taken", "second", { condition: { etagDoesNotMatch: ["*"] } });
    for (const body of [text("other"), streamOf(bytes(2 * MIB), [65_536])]) {
      expect(await shard(14).enqueue(request, body)).toEqual({ ok: true, verdict: "condition_failed" });
      await expect.poll(() => counts(14)).toEqual(before);
    }
  });
});

describe("an acknowledged write", () => {
  it("is known to the service: whoever asks from now on is told that its key is busy", async () => {
    stored(await shard(15).enqueue(putRequest("announced", "put"), text("hello")));
    const idle = { reporter: "somebody", bucketCalls: {}, rejected: { read: 0, write: 0 }, failedReports: 0 };
    const counts = take(createCounters());
    const snapshot = await service().report({ ...idle, counts, circuits: { read: "CLOSED", write: "CLOSED" } });
    const view = (snapshot as unknown as Snapshot).shards.find((s) => s.shard === 15);
    expect(view?.busy).toContain(hashKey("announced"));
  });
});

describe("a streamed payload", () => {
  const SIZES = [0, 1, 65_536, MIB - 1, MIB, MIB + 1, 2.5 * MIB, 5 * MIB];

  test.each(SIZES)("of %d bytes comes back byte for byte, in rows of at most 1 MiB", async (size) => {
    const data = bytes(size);
    const request = putRequest(`s-${size}`, "stream");
    const reply = stored(await shard(7).enqueue(request, streamOf(data, [4_093, 1, 100_003])));
    expect(reply).toMatchObject({ size, etag: await md5(data), checksums: { md5: await md5(data) } });
    const chunks = await rows<{ length: number }>(
      7,
      `SELECT LENGTH(data) AS length FROM payload_chunks WHERE operation_id = '${request.operationId}'`,
    );
    expect(chunks.reduce((sum, { length }) => sum + length, 0)).toBe(size);
    expect(Math.max(0, ...chunks.map(({ length }) => length))).toBeLessThanOrEqual(MIB);
    expect(isSame(await readAll(await shard(7).payload(request.operationId, 0, size)), data)).toBe(true);
  });

  test.each([
    { offset: 0, length: 1 },
    { offset: MIB - 1, length: 2 },
    { offset: MIB, length: MIB },
    { offset: 100, length: 2 * MIB },
    { offset: 2.5 * MIB - 1, length: 1 },
    { offset: 7, length: 0 },
  ])("answers the range $offset + $length", async ({ offset, length }) => {
    const data = bytes(2.5 * MIB);
    const request = putRequest("ranges", "r");
    stored(await shard(8).enqueue(request, data));
    const part = await readAll(await shard(8).payload(request.operationId, offset, length));
    expect(isSame(part, data.subarray(offset, offset + length))).toBe(true);
  });

  it("that breaks midway is refused, and leaves no row", async () => {
    const before = await counts(9);
    const broken = sent(9, putRequest("a", "breaks"), streamOf(bytes(3 * MIB), [65_536], 2 * MIB));
    await expect(broken).rejects.toThrow("disconnected prematurely");
    await expect.poll(() => counts(9)).toEqual(before);
  });

  test.each([
    { rule: "more bytes", announced: MIB, size: 2 * MIB },
    { rule: "fewer bytes", announced: 3 * MIB, size: 2 * MIB },
  ])("of $rule than announced is refused, and leaves no row", async ({ announced, size }) => {
    const before = await counts(10);
    const reply = await shard(10).enqueue(
      putRequest("a", `size-${announced}`, { size: announced }),
      streamOf(bytes(size), [65_536]),
    );
    expect(reply).toMatchObject({
      ok: false,
      code: "INVALID_REQUEST",
      message: expect.stringContaining(`${size} bytes`),
    });
    await expect.poll(() => counts(10)).toEqual(before);
  });

  it("is not readable before it is whole", async () => {
    const request = putRequest("a", "half");
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const source = readable.pipeThrough(new TransformStream({}, undefined, { highWaterMark: 0 }));
    const writer = writable.getWriter();
    const reply = shard(11)
      .enqueue(request, source as ReadableStream<Uint8Array>)
      .catch(() => null);
    await writer.write(bytes(1.5 * MIB));
    expect(await shard(11).payload(request.operationId, 0, 1)).toBeNull();
    expect((await shard(11).peek("a")).pending).toBeNull();
    await writer.close();
    await reply;
  });
});

describe("a checksum of the caller", () => {
  const data = text("checked");
  const NAMES = { md5: "MD5", sha1: "SHA-1", sha256: "SHA-256", sha384: "SHA-384", sha512: "SHA-512" } as const;
  const ALGORITHMS = Object.keys(NAMES) as (keyof typeof NAMES)[];
  const digest = async (algorithm: keyof typeof NAMES) =>
    Array.from(new Uint8Array(await crypto.subtle.digest(NAMES[algorithm], data)), (byte) =>
      byte.toString(16).padStart(2, "0"),
    ).join("");

  test.each(ALGORITHMS)("%s is confirmed and stored beside the MD5", async (algorithm) => {
    const hex = await digest(algorithm);
    const request = putRequest("a", `right-${algorithm}`, { metadata: { ...PLAIN, checksum: { algorithm, hex } } });
    for (const body of [data, streamOf(data, [3])]) {
      const reply = stored(await shard(12).enqueue(request, body));
      expect(reply.checksums).toEqual({ md5: await md5(data), [algorithm]: hex });
    }
  });

  test.each(ALGORITHMS)("%s that does not match is refused in R2's words, and leaves no row", async (algorithm) => {
    const hex = (await digest(algorithm)).replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    const request = putRequest("a", `wrong-${algorithm}`, { metadata: { ...PLAIN, checksum: { algorithm, hex } } });
    const before = await counts(13);
    for (const body of [data, streamOf(data, [3])]) {
      expect(await shard(13).enqueue(request, body)).toMatchObject({
        ok: false,
        r2Code: 10037,
        message: expect.stringContaining(`The ${NAMES[algorithm]} checksum you specified did not match`),
      });
      await expect.poll(() => counts(13)).toEqual(before);
    }
  });
});
