/** The order of operations: within a key, across keys, and against what is written past the queue. */
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fingerprintOf } from "../../../src/bucket/ledger";
import {
  configure,
  counts,
  deleteRequest,
  ended,
  fault,
  idOf,
  inR2,
  md5,
  mode,
  pause,
  putRequest,
  resume,
  rows,
  service,
  shard,
  start,
  statusOf,
  stored,
  text,
} from "./support";

beforeAll(async () => {
  await start();
});
beforeEach(async () => {
  await pause();
});
afterEach(async () => {
  await fault([]);
  await configure({ write_timeout_ms: 200 });
});

const put = async (n: number, key: string, id: string, body = id, changes = {}) =>
  stored(await shard(n).enqueue(putRequest(key, id, changes), text(body))).operationId;
const remove = async (n: number, key: string, id: string) =>
  stored(await shard(n).enqueue(deleteRequest(key, id), null)).operationId;
const statuses = (n: number, ids: string[]) => Promise.all(ids.map((id) => statusOf(n, id)));
/** Writes that met R2 (or its injector) for the drain. */
const drainWrites = async () => (await service().overview()).bucketCalls.drain.write;

describe("operations of one key", () => {
  it("two puts and a delete end SUPERSEDED, SUPERSEDED, COMPLETED, with at most one write to R2", async () => {
    await env.R2_BUCKET.put("three", "before");
    const before = await drainWrites();
    const ids = [await put(1, "three", "first"), await put(1, "three", "second"), await remove(1, "three", "third")];
    expect(await statuses(1, ids)).toEqual(["SUPERSEDED", "SUPERSEDED", "PENDING"]);
    expect(await counts(1)).toMatchObject({ payload_chunks: 0 });
    await resume();
    await ended(1, ids[2] ?? "");
    expect(await statuses(1, ids)).toEqual(["SUPERSEDED", "SUPERSEDED", "COMPLETED"]);
    expect(await inR2("three")).toBeNull();
    expect((await drainWrites()) - before).toBeLessThanOrEqual(1);
  });

  it("a put after a delete is what remains", async () => {
    await env.R2_BUCKET.put("back", "before");
    const ids = [await remove(2, "back", "delete"), await put(2, "back", "put")];
    await resume();
    await ended(2, ids[1] ?? "");
    expect(await statuses(2, ids)).toEqual(["SUPERSEDED", "COMPLETED"]);
    expect(await inR2("back")).toEqual(text("put"));
  });

  it("what comes while one is being applied is applied after it, and never before", async () => {
    await configure({ write_timeout_ms: 2_000 });
    await fault([{ operations: ["put"], latency_ms: 400 }]);
    await resume();
    const first = await put(3, "busy", "first");
    await expect.poll(() => statusOf(3, first)).toBe("PROCESSING");
    const second = await put(3, "busy", "second");
    const third = await put(3, "busy", "third");
    expect(await statuses(3, [first, second, third])).toEqual(["PROCESSING", "SUPERSEDED", "PENDING"]);
    await ended(3, third);
    expect(await statuses(3, [first, second, third])).toEqual(["COMPLETED", "SUPERSEDED", "COMPLETED"]);
    expect(await inR2("busy")).toEqual(text("third"));
  });

  it("one that fails while a newer one waits ends SUPERSEDED, and is not tried again", async () => {
    await fault([{ operations: ["put"], latency_ms: 100, error_code: 10001 }]);
    await resume();
    const first = await put(4, "fails", "first");
    await expect.poll(() => statusOf(4, first)).toBe("PROCESSING");
    const second = await put(4, "fails", "second");
    await expect.poll(() => statusOf(4, first)).toBe("SUPERSEDED");
    await fault([]);
    expect((await ended(4, second)).status).toBe("COMPLETED");
    expect(await inR2("fails")).toEqual(text("second"));
  });
});

describe("operations across keys", () => {
  /** The order in which R2 got them. Of those that ended in the same millisecond nobody can tell: they stand as they should. */
  async function drained(ids: readonly string[], n: number): Promise<string[]> {
    for (const id of ids) await ended(n, id);
    const query = "SELECT key FROM operation_queue ORDER BY completed_at, score";
    return (await rows<{ key: string }>(n, query)).map(({ key }) => key);
  }

  it("go by priority, and by arrival within one", async () => {
    await configure({ batch_size: 1 });
    const ids: string[] = [];
    for (const [key, priority] of [
      ["p10", 10],
      ["p5-a", 5],
      ["p1", 1],
      ["p5-b", 5],
    ] as const) {
      ids.push(await put(5, key, "put", key, { priority }));
    }
    const order = (
      await rows<{ key: string }>(5, "SELECT key FROM operation_queue WHERE phase = 'ready' ORDER BY score")
    ).map(({ key }) => key);
    expect(order).toEqual(["p1", "p5-a", "p5-b", "p10"]);
    await resume();
    expect((await drained(ids, 5)).at(0)).toBe("p1");
    await configure({ batch_size: 10 });
  });

  it("starve nobody: one of the last priority goes before those of the first that come much later", async () => {
    const last = await put(6, "patient", "put", "x", { priority: 10 });
    await put(6, "urgent", "put", "x", { priority: 1 });
    // 90 s later by the clock of the rows.
    await rows(6, "UPDATE operation_queue SET score = score - 90001 WHERE key = 'patient'");
    const order = await rows<{ key: string }>(
      6,
      "SELECT key FROM operation_queue WHERE phase = 'ready' ORDER BY score",
    );
    expect(order.map(({ key }) => key)).toEqual(["patient", "urgent"]);
    await resume();
    await ended(6, last);
  });

  it("a key that hangs keeps no other key waiting", async () => {
    await fault([{ operations: ["head"], hang: true }]);
    // Its direct call may have landed, so it is looked for first, and the look hangs.
    const call = { callId: "hangs", startedMsAgo: 1, fenceInMs: 60_000 };
    const stuck = await put(7, "stuck", "put", "x", { directCall: call });
    const ids: string[] = [];
    for (let i = 0; i < 20; i += 1) ids.push(await put(7, `free-${i}`, "put"));
    await resume();
    for (const id of ids) expect((await ended(7, id)).status).toBe("COMPLETED");
    expect(["PENDING", "PROCESSING"]).toContain(await statusOf(7, stuck));
  });
});

describe("a ticket", () => {
  const ask = (n: number, key: string) =>
    shard(n).ask({
      kind: "delete",
      items: [{ key, operationId: idOf(key, "asked") }],
      writable: true,
      deadlineMs: 60_000,
      priority: 5,
      userId: null,
    });

  it("is given for a key on which nothing is queued, and keeps the drain off it until its call has ended", async () => {
    await resume();
    const { verdicts } = await ask(8, "asked");
    const ticket = verdicts[0]?.verdict === "direct" ? verdicts[0].ticket : "";
    expect(ticket).toMatch(/^ticket:/);
    const queued = await put(8, "asked", "behind");
    const other = await put(8, "not-asked", "free");
    expect((await ended(8, other)).status).toBe("COMPLETED");
    expect(await statusOf(8, queued)).toBe("PENDING");

    await env.R2_BUCKET.delete("asked");
    await shard(8).settle(ticket, "landed");
    expect((await ended(8, queued)).status).toBe("COMPLETED");
    expect(await inR2("asked")).toEqual(text("behind"));
  });

  it("whose call has an unknown end keeps the drain off its key until the fence", async () => {
    await resume();
    const { verdicts } = await ask(9, "lost");
    const ticket = verdicts[0]?.verdict === "direct" ? verdicts[0].ticket : "";
    await shard(9).settle(ticket, "unknown");
    const queued = await put(9, "lost", "behind");
    await put(9, "other", "free");
    await ended(9, idOf("other", "free"));
    expect(await statusOf(9, queued)).toBe("PENDING");
    expect((await shard(9).peek("lost")).shard.busy).not.toBeNull();
  });

  it("is not given for a key on which something is queued: the delete is queued behind it", async () => {
    const first = await put(10, "queued", "put");
    const { verdicts } = await ask(10, "queued");
    expect(verdicts).toMatchObject([{ verdict: "queued", stored: { key: "queued", status: "PENDING" } }]);
    expect(await statusOf(10, first)).toBe("SUPERSEDED");
  });
});

describe("a call that was given up", () => {
  // Probes meet the same faults: without this the circuit would hold the drain back.
  beforeEach(async () => {
    await mode("forced_closed");
  });
  afterEach(async () => {
    await mode("auto");
  });

  it("keeps a quarantined key from being applied until its fence, and no other key", async () => {
    await resume();
    await shard(11).quarantine("feared", null, { callId: "q", startedMsAgo: 1, fenceInMs: 1_500 });
    const before = Date.now();
    const feared = await put(11, "feared", "put");
    await put(11, "free", "put");
    expect((await ended(11, idOf("free", "put"))).status).toBe("COMPLETED");
    expect(await statusOf(11, feared)).toBe("PENDING");
    const record = await ended(11, feared);
    expect(record.status).toBe("COMPLETED");
    expect(Date.parse(record.completed_at ?? "") - before).toBeGreaterThanOrEqual(1_490);
  });

  it("and lands late is overwritten by what was queued after it", async () => {
    await resume();
    const print = await fingerprintOfPut("landed late");
    await shard(12).quarantine("late", print, { callId: "late", startedMsAgo: 1, fenceInMs: 800 });
    const queued = await put(12, "late", "newer");
    await env.R2_BUCKET.put("late", "landed late");
    expect((await ended(12, queued)).status).toBe("COMPLETED");
    expect(await inR2("late")).toEqual(text("newer"));
  });

  it("and whose bytes were queued is looked for: once landed it is COMPLETED, and written once", async () => {
    await fault([{ operations: ["put"], lose_reply: true }]);
    await resume();
    const before = await drainWrites();
    const id = await put(13, "lost-reply", "put");
    expect((await ended(13, id)).status).toBe("COMPLETED");
    await fault([]);
    await put(13, "next", "put");
    await ended(13, idOf("next", "put"));
    await expect.poll(drainWrites).toBe(before + 2);
    expect(await inR2("lost-reply")).toEqual(text("put"));
  });

  it("a delete that was given up and lands late takes nothing that was written after it", async () => {
    await env.R2_BUCKET.put("removed", "before");
    await fault([{ operations: ["delete"], latency_ms: 1_500, land_late: true }]);
    await resume();
    const removed = await remove(14, "removed", "delete");
    // It is tried when all writers ask, given up, and tried again without the fault.
    await gaveUp(14, removed);
    await fault([]);
    expect((await ended(14, removed)).status).toBe("COMPLETED");
    const written = await put(14, "removed", "after");
    expect((await ended(14, written)).status).toBe("COMPLETED");
    await new Promise((resolve) => setTimeout(resolve, 1_600));
    expect(await inR2("removed")).toEqual(text("after"));
  });

  it("and that never lands is written by the queue after its fence", async () => {
    await fault([{ operations: ["put"], hang: true }]);
    await resume();
    const id = await put(15, "hangs", "put");
    await gaveUp(15, id);
    await fault([]);
    expect((await ended(15, id)).status).toBe("COMPLETED");
    expect(await inR2("hangs")).toEqual(text("put"));
  });
});

describe("a direct write that is newer than a queued one", () => {
  it("survives the drain, and the queued one ends SUPERSEDED", async () => {
    const id = await put(16, "direct", "queued");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await env.R2_BUCKET.put("direct", "newer", { customMetadata: { by: "hand" } });
    await resume();
    expect((await ended(16, id)).status).toBe("SUPERSEDED");
    expect(await inR2("direct")).toEqual(text("newer"));
  });

  it("survives a queued delete", async () => {
    const id = await remove(17, "kept", "delete");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await env.R2_BUCKET.put("kept", "newer");
    await resume();
    expect((await ended(17, id)).status).toBe("SUPERSEDED");
    expect(await inR2("kept")).toEqual(text("newer"));
  });

  it("with the same bytes but other metadata is another write, and survives", async () => {
    const id = await put(18, "twin", "queued", "same bytes");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await env.R2_BUCKET.put("twin", "same bytes", { customMetadata: { other: "yes" } });
    await resume();
    expect((await ended(18, id)).status).toBe("SUPERSEDED");
    expect((await env.R2_BUCKET.head("twin"))?.customMetadata).toEqual({ other: "yes" });
  });

  it("that is older is overwritten", async () => {
    await env.R2_BUCKET.put("older", "older");
    await new Promise((resolve) => setTimeout(resolve, 5));
    const id = await put(19, "older", "queued");
    await resume();
    expect((await ended(19, id)).status).toBe("COMPLETED");
    expect(await inR2("older")).toEqual(text("queued"));
  });
});

/** Waits until a call of the operation has been given up. */
async function gaveUp(n: number, id: string): Promise<void> {
  const message = async () => String((await shard(n).operation(id))?.error_message);
  await expect.poll(message, { timeout: 15_000 }).toContain("no answer");
}

/** The fingerprint of a put of text without metadata. */
async function fingerprintOfPut(body: string): Promise<string> {
  return fingerprintOf({ etag: await md5(text(body)), size: text(body).byteLength });
}
