/** Attempts, dead letters, and what operators do to single operations. */
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, expect, it, test } from "vitest";
import type { EventRecord } from "../../../src/shared/records";
import {
  BY,
  configure,
  counts,
  deleteRequest,
  ended,
  fault,
  idOf,
  inR2,
  mode,
  pause,
  putRequest,
  readAll,
  resume,
  rows,
  service,
  shard,
  start,
  statusOf,
  stored,
  text,
} from "./support";

/** R2 says that the caller is wrong: for the queue, a dead letter at once. */
const POISON = [{ operations: ["put" as const], error_code: 10002 }];
const DOWN = [{ operations: "write" as const, error_code: 10001 }];

beforeAll(async () => {
  await start();
});
beforeEach(async () => {
  // Probes meet the same faults: without this the circuit would hold the drain back.
  await mode("forced_closed");
  await resume();
});
afterEach(async () => {
  await fault([]);
});

const put = async (n: number, key: string, id: string, changes = {}) =>
  stored(await shard(n).enqueue(putRequest(key, id, changes), text(id))).operationId;

async function deadLetter(n: number, key: string, id: string): Promise<string> {
  await fault(POISON);
  const letter = await put(n, key, id);
  expect((await ended(n, letter)).status).toBe("FAILED");
  await fault([]);
  return letter;
}

async function failures(n: number, id: string): Promise<number> {
  const [row] = await rows<{ failure_count: number }>(
    n,
    `SELECT failure_count FROM operation_queue WHERE operation_id = '${id}'`,
  );
  return row?.failure_count ?? 0;
}

/** The service's events of an operation. */
async function eventsOf(id: string): Promise<EventRecord[]> {
  const { events } = (await service().events(0, 1_000)) as unknown as { events: EventRecord[] };
  return events.filter(({ event_data }) => event_data.operation_id === id);
}

describe("attempts", () => {
  it("are free while nothing else succeeds: an outage makes no dead letters", async () => {
    await fault(DOWN);
    const id = await put(0, "alone", "put", { maxRetries: 0 });
    await expect.poll(() => failures(0, id), { timeout: 20_000 }).toBeGreaterThanOrEqual(4);
    expect(await shard(0).operation(id)).toMatchObject({
      retry_count: 0,
      status: expect.stringMatching(/PENDING|PROCESSING/),
    });
    await fault([]);
    expect((await ended(0, id)).status).toBe("COMPLETED");
  });

  it("are charged when others succeed: a poison operation ends FAILED, and others drain past it", async () => {
    await fault([{ operations: ["delete"], error_code: 10001 }]);
    const poison = stored(
      await shard(1).enqueue(deleteRequest("poison", "delete", { maxRetries: 2 }), null),
    ).operationId;
    await env.R2_BUCKET.put("poison", "there");
    await rows(1, "UPDATE operation_queue SET fence_at = fence_at + 60000 WHERE key = 'poison'");
    for (let i = 0; (await statusOf(1, poison)) !== "FAILED" && i < 200; i += 1) {
      expect((await ended(1, await put(1, `other-${i}`, "put"))).status).toBe("COMPLETED");
    }
    expect(await shard(1).operation(poison)).toMatchObject({
      status: "FAILED",
      retry_count: 3,
      error_message: expect.stringContaining("(10001)"),
    });
    expect(await inR2("poison")).toEqual(text("there"));
  });

  it("of a write that R2 calls the caller's fault are not repeated: it is FAILED at once", async () => {
    const id = await deadLetter(2, "refused", "put");
    expect(await shard(2).operation(id)).toMatchObject({
      retry_count: 0,
      error_message: expect.stringContaining("(10002)"),
    });
    expect(await failures(2, id)).toBe(0);
  });

  it("that are throttled are no failures", async () => {
    await fault([{ operations: ["put"], error_code: 10058 }]);
    const id = await put(3, "throttled", "put", { maxRetries: 0 });
    await expect.poll(async () => (await shard(3).operation(id))?.error_message ?? "").toContain("(10058)");
    await fault([]);
    expect(await ended(3, id)).toMatchObject({ status: "COMPLETED", retry_count: 0, error_message: null });
    expect(await failures(3, id)).toBe(0);
  });
});

describe("a dead letter", () => {
  it("is read like any pending write, keeps its payload, and keeps its key busy and no other", async () => {
    const id = await deadLetter(4, "kept", "the-bytes");
    const { pending, shard: view } = await shard(4).peek("kept");
    expect(pending).toMatchObject({ kind: "put", stored: { operationId: id, status: "FAILED" } });
    expect(pending?.inline).toEqual(text("the-bytes"));
    expect(await readAll(await shard(4).payload(id, 4, 5))).toEqual(text("bytes"));
    expect(view.busy).toHaveLength(1);
    expect(await shard(4).usage()).toMatchObject({ failed: 1, pending: 0, bytes: 9 });
  });

  it("is told to the service, once", async () => {
    const id = await deadLetter(5, "told", "put");
    const told = async () => (await eventsOf(id)).filter(({ event_type }) => event_type === "OPERATION_DEAD_LETTERED");
    await expect.poll(told, { timeout: 10_000 }).toHaveLength(1);
    expect(await rows(5, "SELECT seq FROM event_outbox")).toEqual([]);
    expect(await told()).toHaveLength(1);
  });

  it("is superseded by the next write of its key, which is applied", async () => {
    const id = await deadLetter(6, "followed", "old");
    const next = await put(6, "followed", "new");
    expect((await ended(6, next)).status).toBe("COMPLETED");
    expect(await statusOf(6, id)).toBe("SUPERSEDED");
    expect(await inR2("followed")).toEqual(text("new"));
    expect(await counts(6)).toMatchObject({ payload_chunks: 0 });
  });

  it("has a bound of its own: over it an operation stays pending and keeps its payload", async () => {
    await configure({ max_dead_letters: 0 });
    await fault(POISON);
    const id = await put(7, "no-room", "put");
    await expect
      .poll(async () => (await rows<{ phase: string }>(7, "SELECT phase FROM operation_queue"))[0]?.phase)
      .toBe("waiting");
    expect(await shard(7).operation(id)).toMatchObject({ status: "PENDING" });
    expect(await shard(7).usage()).toMatchObject({ pending: 1, failed: 0 });
    await configure({ max_dead_letters: 1_000 });
    await fault([]);
    await shard(7).retry(id, false, BY);
    expect((await ended(7, id)).status).toBe("COMPLETED");
  });
});

describe("redrive", () => {
  it("completes a dead letter once its cause is gone", async () => {
    const id = await deadLetter(8, "cured", "put");
    expect(await shard(8).retry(id, false, BY)).toMatchObject({
      ok: true,
      operation: { status: "PENDING", retry_count: 0 },
    });
    expect((await ended(8, id)).status).toBe("COMPLETED");
    expect(await inR2("cured")).toEqual(text("put"));
  });

  it("of all drives those whose key has not changed, and counts the others", async () => {
    await fault(POISON);
    const ids: string[] = [];
    for (const key of ["one", "two", "three"]) ids.push(await put(9, key, "put"));
    for (const id of ids) await ended(9, id);
    await fault([]);
    await env.R2_BUCKET.put("two", "by hand");
    expect(await shard(9).redrive(false, BY)).toEqual({ redriven: 2, changed: 1 });
    await ended(9, ids[0] ?? "");
    await expect
      .poll(() => Promise.all(ids.map((id) => statusOf(9, id))))
      .toEqual(["COMPLETED", "FAILED", "COMPLETED"]);
    expect(await inR2("two")).toEqual(text("by hand"));
  });

  it("onto a key that was written since says CHANGED_SINCE and changes nothing; force writes over it", async () => {
    const id = await deadLetter(10, "changed", "dead");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await env.R2_BUCKET.put("changed", "newer");
    expect(await shard(10).retry(id, false, BY)).toMatchObject({ ok: false, code: "CHANGED_SINCE" });
    expect(await statusOf(10, id)).toBe("FAILED");
    expect(await shard(10).retry(id, true, BY)).toMatchObject({ ok: true });
    expect((await ended(10, id)).status).toBe("COMPLETED");
    expect(await inR2("changed")).toEqual(text("dead"));
  });
});

describe("by hand", () => {
  it("a cancelled operation lets its payload go and never reaches R2", async () => {
    await pause();
    const id = await put(11, "cancelled", "put");
    expect(await shard(11).cancel(id, BY)).toMatchObject({ ok: true, operation: { status: "CANCELLED" } });
    await resume();
    await put(11, "other", "put");
    await ended(11, idOf("other", "put"));
    expect(await inR2("cancelled")).toBeNull();
    expect(await counts(11)).toMatchObject({ payload_chunks: 0 });
    expect((await shard(11).peek("cancelled")).pending).toBeNull();
  });

  it("a dead letter can be cancelled, and is gone for readers", async () => {
    const id = await deadLetter(12, "buried", "put");
    expect(await shard(12).cancel(id, BY)).toMatchObject({ ok: true, operation: { status: "CANCELLED" } });
    expect(await shard(12).payload(id, 0, 3)).toBeNull();
    expect(await shard(12).usage()).toMatchObject({ failed: 0, bytes: 0, cancelled: 1 });
  });

  it("an operation that is being written is not cancelled", async () => {
    await configure({ write_timeout_ms: 3_000 });
    await fault([{ operations: ["put"], latency_ms: 600 }]);
    const id = await put(13, "in-work", "put");
    await expect.poll(() => statusOf(13, id)).toBe("PROCESSING");
    expect(await shard(13).cancel(id, BY)).toMatchObject({ ok: false, code: "SERVICE_UNAVAILABLE", retryAfter: 1 });
    expect((await ended(13, id)).status).toBe("COMPLETED");
    await configure({ write_timeout_ms: 200 });
  });

  test.each([
    { rule: "cancel", act: (id: string) => shard(14).cancel(id, BY) },
    { rule: "retry", act: (id: string) => shard(14).retry(id, false, BY) },
    { rule: "retry with force", act: (id: string) => shard(14).retry(id, true, BY) },
  ])("$rule of what has ended is OPERATION_FINAL, and of what is not known NOT_FOUND", async ({ act }) => {
    const id = await put(14, "final", crypto.randomUUID());
    await ended(14, id);
    expect(await act(id)).toMatchObject({ ok: false, code: "OPERATION_FINAL" });
    expect(await act("0-00000000-nobody")).toMatchObject({ ok: false, code: "NOT_FOUND" });
  });

  it("a retry tries a waiting operation at once", async () => {
    await configure({ retry_delay_ms: 3_600_000 });
    await fault([{ operations: ["put"], error_code: 10043 }]);
    const id = await put(15, "hurried", "put");
    await expect.poll(() => failures(15, id)).toBeGreaterThanOrEqual(1);
    await fault([]);
    await configure({ retry_delay_ms: 1 });
    expect(await shard(15).retry(id, false, BY)).toMatchObject({ ok: true });
    expect((await ended(15, id, 5_000)).status).toBe("COMPLETED");
  });

  it("every action is recorded with its actor and request", async () => {
    await pause();
    const id = await put(16, "acted", "put");
    await shard(16).retry(id, false, BY);
    await shard(16).cancel(id, BY);
    const acted = async () =>
      (await eventsOf(id)).map(({ event_type, event_data }) => [event_type, event_data.actor, event_data.request_id]);
    await expect.poll(acted, { timeout: 10_000 }).toHaveLength(2);
    expect((await acted()).sort()).toEqual([
      ["OPERATION_CANCELLED", "test", "r-1"],
      ["OPERATION_RETRIED", "test", "r-1"],
    ]);
  });
});
