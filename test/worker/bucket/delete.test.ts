import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { isolateState, refreshNow } from "../../../src/bucket/isolate-service";
import { shardOf } from "../../../src/shared/keys";
import type { Stored } from "../../../src/shared/protocol";
import { CLOSED, newWorld, SHARDS, type World } from "./world";

let world: World;
beforeEach(() => {
  world = newWorld({ write_timeout_ms: 150 });
});

const stored = (key: string, operationId: string): Stored => ({
  operationId,
  status: "PENDING",
  key,
  size: 0,
  etag: "",
  checksums: {},
  enqueuedAt: Date.now(),
});

describe("a delete asks its shard first", () => {
  test("and goes to R2 where nothing is queued: one object call", async () => {
    await env.R2_BUCKET.put("gone", "1");
    await refreshNow(world.env, "R2_STORAGE");
    const calls = world.objectCalls;
    expect(await world.bucket().remove("gone")).toEqual({ kind: "deleted" });
    expect(await env.R2_BUCKET.head("gone")).toBeNull();
    expect(world.objectCalls - calls).toBe(1);
    expect(world.asked[0]).toMatchObject({ kind: "delete", writable: true, deadlineMs: 150, priority: 5 });
  });

  test("many keys: each shard is asked once, and R2 is called once", async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `many${i}`);
    for (const key of keys) await env.R2_BUCKET.put(key, "1");
    await world.bucket().delete([...keys, "many0"]);
    expect(world.asked.length).toBe(new Set(keys.map((key) => shardOf(key, SHARDS))).size);
    expect(world.asked.flatMap(({ items }) => items.map(({ key }) => key)).sort()).toEqual([...keys].sort());
    expect(world.r2Calls.length).toBe(1);
    expect((await env.R2_BUCKET.list({ prefix: "many" })).objects).toEqual([]);
  });

  test("what is queued at once is not deleted directly; the rest is", async () => {
    await env.R2_BUCKET.put("mixed0", "1");
    world.verdict = ({ key, operationId }) =>
      key === "mixed0" ? { verdict: "direct", ticket: "t" } : { verdict: "queued", stored: stored(key, operationId) };
    const outcome = await world.bucket().remove(["mixed0", "mixed1"], { operationId: "del", userId: "u" });
    expect(outcome).toMatchObject({ kind: "queued", operations: [{ key: "mixed1" }] });
    expect(world.r2Calls).toEqual(["delete mixed0"]);
    expect(await env.R2_BUCKET.head("mixed0")).toBeNull();
    expect(world.asked[0]?.items[0]?.operationId).toMatch(/-del$/);
  });

  test("while the circuit is open the shard is told so, and R2 is left alone", async () => {
    world.change({ circuits: { read: CLOSED, write: { ...CLOSED, state: "OPEN" } } });
    world.verdict = ({ key, operationId }) => ({ verdict: "queued", stored: stored(key, operationId) });
    expect(await world.bucket().remove("open")).toMatchObject({ kind: "queued", operations: [{ key: "open" }] });
    expect(world.asked[0]?.writable).toBe(false);
    expect(world.r2Calls).toEqual([]);
    expect(isolateState("R2_STORAGE").rejected.write).toBe(1);
  });

  test.each([
    { how: "fails", fault: { operations: ["delete"], error_code: 10001 } as const, mayLand: false },
    { how: "hangs", fault: { operations: ["delete"], hang: true } as const, mayLand: true },
  ])("what R2 $how is queued with its ticket", async ({ fault, mayLand }) => {
    world.fault(fault);
    expect(await world.bucket().remove(["a", "b"])).toMatchObject({
      kind: "queued",
      operations: [{ key: "a" }, { key: "b" }],
    });
    for (const { request, bytes } of world.enqueued) {
      expect(request).toMatchObject({ kind: "delete", metadata: null, ticket: "t" });
      expect(bytes).toBeNull();
      expect((request.directCall?.fenceInMs ?? 0) > 0).toBe(mayLand);
    }
  });

  test.each(["fails"] as const)("without a shard to ask (one that %s), nothing is deleted", async (mood) => {
    await env.R2_BUCKET.put("kept", "1");
    await refreshNow(world.env, "R2_STORAGE");
    world.queueMood = mood;
    await expect(world.bucket().delete("kept")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    expect(await env.R2_BUCKET.head("kept")).not.toBeNull();
    expect(world.r2Calls).toEqual([]);
  });

  test("a refusal is an error, after the other keys were dealt with", async () => {
    await env.R2_BUCKET.put("fine", "1");
    world.verdict = ({ key }) =>
      key === "fine"
        ? { verdict: "direct", ticket: "t" }
        : { verdict: "refused", refusal: { ok: false, code: "QUEUE_FULL", message: "full", retryAfter: 3 } };
    await expect(world.bucket().delete(["full", "fine"])).rejects.toMatchObject({ code: "QUEUE_FULL", retryAfter: 3 });
    expect(await env.R2_BUCKET.head("fine")).toBeNull();
  });
});

test.each([
  ["an empty key", "", /\(10020\)/],
  ["a key of 1,025 bytes", "k".repeat(1_025), /\(10020\)/],
  ["1,001 keys", Array.from({ length: 1_001 }, (_, i) => `k${i}`), /at most 1000 keys/],
])("%s is refused before anybody is asked", async (_, keys, message) => {
  await expect(world.bucket().delete(keys)).rejects.toThrow(message);
  expect([world.asked, world.r2Calls]).toEqual([[], []]);
});

test("no keys are deleted without any call", async () => {
  expect(await world.bucket().remove([])).toEqual({ kind: "deleted" });
  expect([world.objectCalls, world.r2Calls]).toEqual([0, []]);
});
