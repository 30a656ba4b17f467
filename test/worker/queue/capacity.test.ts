import { afterEach, beforeAll, beforeEach, describe, expect, it, test } from "vitest";
import { queueUploadId } from "../../../src/shared/keys";
import type { AskRequest } from "../../../src/shared/protocol";
import {
  bytes,
  configure,
  counts,
  deleteRequest,
  ended,
  idOf,
  MIB,
  PLAIN,
  pause,
  putRequest,
  resume,
  rows,
  service,
  shard,
  start,
  stored,
  streamOf,
  text,
} from "./support";
import { type Opened, open, openAgain, part, send } from "./upload-support";

const SHARDS = 8;

beforeAll(async () => {
  await start({ shards: SHARDS, max_queue_size: 40, max_queue_bytes: 8 * MIB });
});
beforeEach(async () => {
  await pause();
});
afterEach(async () => {
  await configure({ max_queue_size: 40, max_queue_bytes: 8 * MIB });
  await drainAll();
}, 30_000);

/** Ends what a test has queued, so that the next one finds the service's whole room again. */
async function drainAll(): Promise<void> {
  await resume();
  for (let n = 0; n < SHARDS; n += 1) {
    await expect.poll(async () => (await shard(n).usage()).pending, { timeout: 15_000 }).toBe(0);
    await expect.poll(async () => (await shard(n).peek("x")).shard.busy, { timeout: 15_000 }).toBeNull();
  }
}

async function fill(n: number, operations: number): Promise<void> {
  for (let i = 0; i < operations; i += 1) {
    stored(await shard(n).enqueue(putRequest(`fill-${n}-${i}`, crypto.randomUUID()), text("x")));
  }
}

const QUEUE_FULL = { ok: false, code: "QUEUE_FULL", retryAfter: 30 };
const deletes = (keys: string[]): AskRequest => ({
  kind: "delete",
  items: keys.map((key) => ({ key, operationId: idOf(key, "delete") })),
  writable: false,
  deadlineMs: 200,
  priority: 5,
  userId: null,
});

describe("a queue that is full", () => {
  it("takes as many operations as the service may hold, on whatever shard they come", async () => {
    await fill(0, 39);
    await fill(1, 1);
    expect(await shard(2).enqueue(putRequest("one", "more"), text("x"))).toMatchObject(QUEUE_FULL);
    expect(await shard(0).enqueue(putRequest("one", "more"), text("x"))).toMatchObject(QUEUE_FULL);
  });

  test.each([
    { rule: "a small put", send: (n: number) => shard(n).enqueue(putRequest("k", "small"), text("x")) },
    {
      rule: "a stream",
      send: (n: number) => shard(n).enqueue(putRequest("k", "stream"), streamOf(bytes(MIB), [65_536])),
    },
    { rule: "an empty put", send: (n: number) => shard(n).enqueue(putRequest("k", "empty"), new Uint8Array()) },
    { rule: "a delete", send: (n: number) => shard(n).enqueue(deleteRequest("k", "delete"), null) },
    {
      rule: "a conditional put",
      send: (n: number) => shard(n).enqueue(putRequest("k", "if", { condition: { etagMatches: ["x"] } }), text("x")),
    },
  ])("refuses $rule with QUEUE_FULL, and stores no row of it", async ({ send }) => {
    await fill(0, 40);
    const before = [await counts(0), await counts(1)];
    expect(await send(0)).toMatchObject(QUEUE_FULL);
    expect(await send(1)).toMatchObject(QUEUE_FULL);
    expect([await counts(0), await counts(1)]).toEqual(before);
  });

  it("refuses a delete that asks, and stores no row of it", async () => {
    await fill(0, 40);
    const before = await counts(0);
    const { verdicts } = await shard(0).ask(deletes(["k", "l"]));
    expect(verdicts).toMatchObject([
      { verdict: "refused", refusal: QUEUE_FULL },
      { verdict: "refused", refusal: QUEUE_FULL },
    ]);
    expect(await counts(0)).toEqual(before);
  });

  it("queues as many of a batch of deletes as fit, in their order", async () => {
    await fill(0, 38);
    const { verdicts } = await shard(0).ask(deletes(["a", "b", "c"]));
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(["queued", "queued", "refused"]);
  });

  it("keeps a key quarantined although it refuses the write", async () => {
    await fill(0, 40);
    const call = { callId: "unknown", startedMsAgo: 10, fenceInMs: 60_000 };
    const request = putRequest("feared", "put", { directCall: call });
    const before = await counts(0);
    expect(await shard(0).enqueue(request, text("x"))).toMatchObject(QUEUE_FULL);
    expect(await counts(0)).toEqual({ ...before, outstanding_calls: 1 });
    await shard(0).settle("unknown", "landed");
  });

  it("answers an operation that it has already, all the same", async () => {
    const request = putRequest("known", "again");
    const first = stored(await shard(0).enqueue(request, text("x")));
    await fill(0, 39);
    expect(stored(await shard(0).enqueue(request, text("x")))).toEqual(first);
  });

  it("takes writes again as soon as it has drained", async () => {
    await fill(0, 40);
    expect(await shard(0).enqueue(putRequest("later", "put"), text("x"))).toMatchObject(QUEUE_FULL);
    await resume();
    await expect.poll(async () => (await shard(0).usage()).pending, { timeout: 15_000 }).toBe(0);
    stored(await shard(0).enqueue(putRequest("later", "put"), text("x")));
    expect((await ended(0, idOf("later", "put"))).status).toBe("COMPLETED");
  });
});

describe("writes that come in at the same time", () => {
  const send = (n: number, i: number) => shard(n).enqueue(putRequest(`at-once-${i}`, crypto.randomUUID()), text("x"));

  it("all find room when there is room for all", async () => {
    const replies = await Promise.all(Array.from({ length: 40 }, (_, i) => send(3, i)));
    expect(replies.filter((reply) => !reply.ok)).toEqual([]);
  });

  it("never take more than the bound, and no less", async () => {
    const replies = await Promise.all(Array.from({ length: 100 }, (_, i) => send(4, i)));
    expect(replies.filter((reply) => reply.ok)).toHaveLength(40);
    for (const reply of replies) if (!reply.ok) expect(reply).toMatchObject(QUEUE_FULL);
    expect(await counts(4)).toMatchObject({ operation_queue: 40, payload_chunks: 40 });
  });
});

describe("bytes", () => {
  const TOO_LARGE = { ok: false, code: "PAYLOAD_TOO_LARGE" };

  test.each([
    { rule: "a buffer", size: null, body: () => bytes(3 * MIB) },
    { rule: "a stream of known size", size: 3 * MIB, body: () => streamOf(bytes(3 * MIB), [65_536]) },
    { rule: "a stream of unknown size", size: null, body: () => streamOf(bytes(3 * MIB), [65_536]) },
  ])("$rule that the queue may never hold is PAYLOAD_TOO_LARGE, and leaves no row", async ({ size, body }) => {
    await configure({ max_queue_bytes: 2 * MIB });
    const before = await counts(5);
    expect(await shard(5).enqueue(putRequest("large", "put", { size, metadata: PLAIN }), body())).toMatchObject(
      TOO_LARGE,
    );
    await expect.poll(() => counts(5)).toEqual(before);
  });

  it("are bounded over all shards", async () => {
    stored(await shard(6).enqueue(putRequest("a", "5MiB"), streamOf(bytes(5 * MIB), [65_536])));
    expect(await shard(7).enqueue(putRequest("b", "4MiB"), streamOf(bytes(4 * MIB), [65_536]))).toMatchObject(
      QUEUE_FULL,
    );
    stored(await shard(7).enqueue(putRequest("c", "2MiB"), streamOf(bytes(2 * MIB), [65_536])));
    expect((await service().overview()).usage.bytes).toBeGreaterThan(0);
  });

  it("of a stream that finds no room are not read to its end", async () => {
    let sent = 0;
    const endless = new ReadableStream({
      type: "bytes",
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536));
      },
    } satisfies UnderlyingByteSource);
    expect(await shard(5).enqueue(putRequest("endless", "put"), endless)).toMatchObject(TOO_LARGE);
    const atRefusal = sent;
    expect(atRefusal).toBeLessThan(16 * MIB);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent - atRefusal).toBeLessThanOrEqual(MIB);
  });
});

describe("the parts of multipart uploads", () => {
  it("are refused when they do not fit: nothing is stored", async () => {
    const upload = await open(1, "too-much");
    await part(upload, 1, bytes(4 * MIB));
    // The ledger forgets by itself what an earlier test has written.
    const held = async (): Promise<Record<string, number>> => ({ ...(await counts(1)), ledger: 0 });
    const before = await held();
    expect(await send(upload, 2, streamOf(bytes(5 * MIB), [65_536]))).toMatchObject(QUEUE_FULL);
    expect(await send(upload, 2, bytes(1))).toMatchObject({ ok: true });
    const oneMore = { ...before, payload_chunks: (before.payload_chunks ?? 0) + 1 };
    await expect.poll(held, { timeout: 15_000 }).toEqual(oneMore);
    await shard(1).abortUpload(upload.key, upload.uploadId);
  });

  it("belong to an upload that counts as an operation when it was begun here", async () => {
    await configure({ max_queue_size: 3 });
    const uploads: Opened[] = [];
    let refusal: unknown = null;
    for (let i = 0; i < 10 && refusal === null; i += 1) {
      const upload = { n: 2, key: `many-${i}`, uploadId: queueUploadId(), origin: "queue" as const };
      refusal = await openAgain(upload);
      uploads.push(upload);
    }
    expect(refusal).toMatchObject(QUEUE_FULL);
    expect(await rows(2, "SELECT 1 FROM uploads")).toHaveLength(uploads.length - 1);
    for (const { key, uploadId } of uploads) await shard(2).abortUpload(key, uploadId);
  });
});
