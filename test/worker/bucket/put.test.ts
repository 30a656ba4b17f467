import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { FailoverError } from "../../../src/shared/errors";
import { CLOSED, md5Of, newWorld, pattern, sourceOf, type World } from "./world";

const MIB = 1024 * 1024;
let world: World;
beforeEach(() => {
  world = newWorld({ write_timeout_ms: 150 });
});

const textIn = async (key: string) => (await env.R2_BUCKET.get(key))?.text() ?? null;
const failing = { operations: ["put"], error_code: 10001 } as const;
const hanging = { operations: ["put"], hang: true } as const;

describe("while R2 is well", () => {
  test("a put is R2's own: its object comes back untouched, and no queue is asked", async () => {
    const object = await world.bucket().put("calm", "text", { httpMetadata: { contentType: "text/plain" } });
    expect(object.constructor.name).toBe("HeadResult");
    expect("queued" in object).toBe(false);
    expect(await textIn("calm")).toBe("text");
    expect((await env.R2_BUCKET.head("calm"))?.httpMetadata).toEqual({ contentType: "text/plain" });
    expect(world.enqueued).toEqual([]);
  });

  test("the put carries a fence: its deadline, in R2's clock", async () => {
    world.change({ clockOffsetMs: 60_000 });
    await refreshNow(world.env, "R2_STORAGE");
    let fence = 0;
    world.r2.put = (key: string, value: string, options: R2PutOptions) => {
      fence = (options.onlyIf as R2Conditional).uploadedBefore?.getTime() ?? 0;
      return env.R2_BUCKET.put(key, value, options);
    };
    const before = Date.now();
    await world.bucket().put("fenced", "1");
    expect(fence).toBeGreaterThanOrEqual(before + 150 + 60_000);
    expect(fence).toBeLessThanOrEqual(Date.now() + 150 + 60_000);
  });

  test("within a lease, 200 puts and gets cost the one object call that began it", async () => {
    world.change({ leaseMs: 60_000 });
    const bucket = world.bucket();
    for (let i = 0; i < 100; i += 1) {
      await bucket.put("many", "x");
      await (await bucket.get("many"))?.text();
    }
    expect(world.objectCalls).toBe(1);
  });

  test("its outcomes reach the service with the next report", async () => {
    const bucket = world.bucket();
    await bucket.put("counted", "1");
    await bucket.get("counted");
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.at(-1)).toMatchObject({
      counts: { write: { success: 1, failure: 0 }, read: { success: 1 } },
      bucketCalls: { put: 1, get: 1 },
      failedReports: 0,
    });
  });

  test.each<{ what: string; key: string; value: unknown; options: R2PutOptions; message: RegExp }>([
    { what: "a key of 1,025 bytes", key: "k".repeat(1_025), value: "", options: {}, message: /\(10020\)$/ },
    { what: "a wrong MD5", key: "k", value: "x", options: { md5: "0".repeat(32) }, message: /\(10037\)$/ },
    { what: "a malformed MD5", key: "k", value: "x", options: { md5: "00" }, message: /32 hex characters/ },
    { what: "a short SSE-C key", key: "k", value: "x", options: { ssecKey: "ab" }, message: /SSE-C Key/ },
    { what: "a body of no known kind", key: "k", value: 5, options: {}, message: /parameter 2/ },
    { what: "a quoted etag", key: "k", value: "x", options: { onlyIf: { etagMatches: '"a"' } }, message: /quotes/ },
    {
      what: "a stream of unknown length",
      key: "k",
      value: sourceOf(pattern(4), 2),
      options: {},
      message: /must have a known length/,
    },
  ])("$what is R2's error, thrown as R2 throws it, and moves no circuit", async ({ key, value, options, message }) => {
    for (let i = 0; i < 6; i += 1) {
      const thrown = await world
        .bucket()
        .put(key, value as string, options)
        .catch((error: unknown) => error);
      expect(thrown).toBeInstanceOf(Error);
      expect(thrown).not.toBeInstanceOf(FailoverError);
      expect((thrown as Error).message).toMatch(message);
    }
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.at(-1)?.counts.write.failure).toBe(0);
    expect(world.reports.at(-1)?.circuits.write).toBe("CLOSED");
    expect(world.enqueued).toEqual([]);
  });
});

describe("when R2 fails the put", () => {
  test.each([
    { how: "it answers with an error", fault: failing, mayLand: false },
    { how: "it does not answer within the deadline", fault: hanging, mayLand: true },
    { how: "its reply is lost", fault: { operations: ["put"], lose_reply: true } as const, mayLand: true },
  ])("and $how: the write is queued with what may still land", async ({ fault, mayLand }) => {
    world.fault(fault);
    const outcome = await world.bucket().write("failed", "text", {
      operationId: "mine",
      priority: 2,
      userId: 7,
      customMetadata: { a: "1" },
    });
    expect(outcome).toMatchObject({ kind: "queued", operation: { key: "failed", size: 4 } });
    const [{ request, bytes } = expect.fail("nothing was queued")] = world.enqueued;
    expect(new TextDecoder().decode(bytes ?? undefined)).toBe("text");
    expect(request.operationId).toMatch(/^\d-[0-9a-f]{8}-mine$/);
    expect(request).toMatchObject({ kind: "put", priority: 2, userId: "7", metadata: { customMetadata: { a: "1" } } });
    const { fenceInMs = -1, startedMsAgo = -1 } = request.directCall ?? {};
    expect(startedMsAgo).toBeGreaterThanOrEqual(0);
    if (mayLand) expect(fenceInMs).toBeGreaterThan(4_000);
    else expect(fenceInMs).toBe(0);
  });

  test("put answers with an R2Object made from what was stored, marked queued", async () => {
    world.fault(failing);
    const object = await world.bucket().put("marked", "text", {
      httpMetadata: new Headers({ "content-type": "text/plain" }),
      customMetadata: { a: "1" },
    });
    const md5 = await md5Of(new TextEncoder().encode("text"));
    expect(object).toMatchObject({
      queued: true,
      operationId: world.enqueued[0]?.request.operationId,
      key: "marked",
      size: 4,
      etag: md5,
      httpEtag: `"${md5}"`,
      httpMetadata: { contentType: "text/plain" },
      customMetadata: { a: "1" },
    });
    expect(object.checksums.toJSON()).toEqual({ md5 });
    expect(object.checksums.md5?.byteLength).toBe(16);
    const headers = new Headers();
    object.writeHttpMetadata(headers);
    expect(headers.get("content-type")).toBe("text/plain");
  });

  test("throttling is retried in place, twice, and is no failure", async () => {
    world = newWorld({ write_timeout_ms: 10_000 });
    let calls = 0;
    world.r2.put = async (key: string, value: string, options: R2PutOptions) => {
      calls += 1;
      if (calls <= 2) throw new Error("put: Reduce your rate. (10058)");
      return env.R2_BUCKET.put(key, value, options);
    };
    expect((await world.bucket().write("throttled", "1")).kind).toBe("stored");
    world.r2.put = () => Promise.reject(new Error("put: Reduce your rate. (10058)"));
    expect((await world.bucket().write("throttled", "2")).kind).toBe("queued");
    expect(world.r2Calls.length).toBe(6);
    expect(world.enqueued[0]?.request.directCall?.fenceInMs).toBe(0);
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.at(-1)?.counts.write).toMatchObject({ success: 1, throttled: 5, failure: 0 });
  });

  test("after the threshold of failures its own circuit opens: writes go to the queue and R2 is left alone", async () => {
    world.fault(failing);
    for (let i = 0; i < 5; i += 1) await world.bucket().put(`burst${i}`, "x");
    expect(world.r2Calls).toEqual([]);
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.at(-1)?.circuits.write).toBe("OPEN");
    const met = world.reports.reduce((sum, { bucketCalls }) => sum + (bucketCalls.put ?? 0), 0);
    expect(met).toBe(5);
    await world.bucket().put("burst5", "x");
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.at(-1)).toMatchObject({ bucketCalls: {}, rejected: { write: 1 } });
    expect(world.enqueued.length).toBe(6);
  });

  test("a service-wide circuit that opened and closed since closes the own one too", async () => {
    world.fault(failing);
    for (let i = 0; i < 5; i += 1) await world.bucket().put(`own${i}`, "x");
    world.change({ faults: [], circuits: { read: CLOSED, write: { ...CLOSED, generation: 3 } } });
    await refreshNow(world.env, "R2_STORAGE");
    expect((await world.bucket().write("other", "x")).kind).toBe("stored");
  });

  test("a failure is reported soon, within its jitter", async () => {
    world.fault(failing);
    await refreshNow(world.env, "R2_STORAGE");
    const before = world.reports.length;
    await world.bucket().put("prompt", "x");
    await expect.poll(() => world.reports.length, { timeout: 2_000 }).toBeGreaterThan(before);
    expect(world.reports.at(-1)?.counts.write.failure).toBe(1);
  });
});

describe("a put goes to the queue without meeting R2", () => {
  test.each([
    { why: "while the service's circuit is open", state: "OPEN" },
    { why: "while it is half open: the service makes the trials", state: "HALF_OPEN" },
    { why: "while it is forced open", state: "FORCED_OPEN" },
  ] as const)("$why", async ({ state }) => {
    world.change({ circuits: { read: CLOSED, write: { ...CLOSED, generation: 2, state } } });
    expect((await world.bucket().write("open", "x")).kind).toBe("queued");
    expect(world.r2Calls).toEqual([]);
    expect(world.enqueued[0]?.request.directCall).toBeNull();
  });

  test("while its key is busy; another key of the shard goes straight to R2", async () => {
    world.change({ shards: [world.busyShard("busy")] });
    expect((await world.bucket().write("busy", "x")).kind).toBe("queued");
    expect((await world.bucket().write("idle", "x")).kind).toBe("stored");
    expect(world.r2Calls).toEqual(["put idle"]);
  });

  test("once this isolate has queued the key, before any snapshot tells", async () => {
    world.fault(failing);
    await world.bucket().put("own", "1");
    world.fault();
    await refreshNow(world.env, "R2_STORAGE");
    expect((await world.bucket().write("own", "2")).kind).toBe("queued");
    expect(world.r2Calls).toEqual([]);
  });

  test("past the lease cap, since others may have queued meanwhile", async () => {
    world = newWorld({ lease_cap_ms: 100, write_timeout_ms: 150 });
    await world.bucket().put("cap", "1");
    world.serviceMood = "fails";
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect((await world.bucket().write("cap", "2")).kind).toBe("queued");
    expect(world.r2Calls).toEqual(["put cap"]);
  });
});

test("a circuit that only counts never rejects, whatever fails", async () => {
  const metrics = { ...CLOSED, state: "METRICS_ONLY" } as const;
  world.change({ circuits: { read: metrics, write: metrics }, faults: [failing] });
  for (let i = 0; i < 7; i += 1) await world.bucket().put(`m${i}`, "x");
  await refreshNow(world.env, "R2_STORAGE");
  const met = world.reports.reduce((sum, { bucketCalls }) => sum + (bucketCalls.put ?? 0), 0);
  expect(met).toBe(7);
});

test("a read-only service refuses writes, and stores nothing", async () => {
  world.change({ readOnly: true });
  await expect(world.bucket().put("ro", "x")).rejects.toMatchObject({ code: "READ_ONLY", retryAfter: 30 });
  await expect(world.bucket().delete("ro")).rejects.toMatchObject({ code: "READ_ONLY" });
  expect([world.r2Calls, world.enqueued, world.asked]).toEqual([[], [], []]);
});

describe("a put that its fence refuses though it is live", () => {
  test("is sent again with a new fence", async () => {
    let calls = 0;
    world.r2.put = (key: string, value: string, options: R2PutOptions) => {
      calls += 1;
      return calls < 3 ? Promise.resolve(null) : env.R2_BUCKET.put(key, value, options);
    };
    expect((await world.bucket().write("overtaken", "x")).kind).toBe("stored");
  });

  test("is refused after three tries", async () => {
    world.r2.put = () => Promise.resolve(null);
    await expect(world.bucket().put("overtaken", "x")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    expect(world.r2Calls.length).toBe(3);
    expect(world.enqueued).toEqual([]);
  });
});

describe("when the queue does not take the write either", () => {
  test("nothing is acknowledged, the outcome is said to be unknown, and the key is kept quarantined", async () => {
    world.fault(hanging);
    world.queueMood = "fails";
    await refreshNow(world.env, "R2_STORAGE");
    const refused = world.bucket().put("lost", "x");
    await expect(refused).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", outcomeUnknown: true, retryAfter: 2 });
    world.queueMood = "answers";
    world.fault();
    await refreshNow(world.env, "R2_STORAGE");
    expect((await world.bucket().write("lost", "y")).kind).toBe("queued");
    expect((await world.bucket().write("other", "y")).kind).toBe("stored");
  });

  test("the shard is told of the quarantine, with what identifies the write", async () => {
    world.fault(hanging);
    world.enqueueErrors = [new Error("gone")];
    await expect(world.bucket().put("told", "x")).rejects.toThrow(FailoverError);
    await expect.poll(() => world.quarantines.length).toBe(1);
    const [{ key, fingerprint, call } = expect.fail("not told")] = world.quarantines;
    expect(key).toBe("told");
    expect(fingerprint).toMatch(new RegExp(`^${await md5Of(new TextEncoder().encode("x"))}:1:`));
    expect(call.fenceInMs).toBeGreaterThan(4_000);
  });

  test("an R2 that has answered leaves no doubt, and no quarantine", async () => {
    world.fault(failing);
    world.refusal = { ok: false, code: "QUEUE_FULL", message: "full", retryAfter: 9 };
    const refused = world.bucket().put("full", "x");
    await expect(refused).rejects.toMatchObject({ code: "QUEUE_FULL", retryAfter: 9, outcomeUnknown: false });
    expect(world.quarantines).toEqual([]);
  });

  test("a refusal after a lost reply says that the outcome is unknown", async () => {
    world.fault({ operations: ["put"], lose_reply: true });
    world.refusal = { ok: false, code: "QUEUE_FULL", message: "full", retryAfter: 9 };
    await expect(world.bucket().put("full", "x")).rejects.toMatchObject({ code: "QUEUE_FULL", outcomeUnknown: true });
  });

  test("an object that restarts is asked once more, with the same operation id", async () => {
    world.fault(failing);
    world.enqueueErrors = [Object.assign(new Error("reset"), { retryable: true })];
    expect((await world.bucket().write("again", "x")).kind).toBe("queued");
    world.enqueueErrors = [Object.assign(new Error("overloaded"), { retryable: true, overloaded: true })];
    await expect(world.bucket().put("overloaded", "x")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
  });
});

describe("with both objects unreachable", () => {
  test.each(["fails", "hangs"] as const)("(they %s) puts and bounded reads go on, strong ones do not", async (mood) => {
    world.serviceMood = mood;
    world.queueMood = mood;
    expect((await world.bucket().write("alone", "x")).kind).toBe("stored");
    expect(await (await world.bucket().get("alone"))?.text()).toBe("x");
    const startedAt = Date.now();
    for (let i = 0; i < 5; i += 1) expect(await (await world.bucket().get("alone"))?.text()).toBe("x");
    expect(Date.now() - startedAt).toBeLessThan(1_000);
    await expect(world.bucket({ consistency: "strong" }).get("alone")).rejects.toMatchObject({
      code: "SERVICE_UNAVAILABLE",
    });
  });

  test("past the lease cap too: only R2 is left", async () => {
    world = newWorld({ lease_cap_ms: 100 });
    await world.bucket().put("left", "1");
    world.serviceMood = "fails";
    world.queueMood = "fails";
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect((await world.bucket().write("left", "2")).kind).toBe("stored");
    expect(await (await world.bucket().get("left"))?.text()).toBe("2");
  });
});

describe("a streamed body", () => {
  const bytes = pattern(3 * MIB);

  test("reaches R2 whole, with the length that the caller says", async () => {
    const outcome = await world.bucket().write("stream", sourceOf(bytes, 100_000), { size: bytes.byteLength });
    expect(outcome.kind).toBe("stored");
    expect(outcome).toMatchObject({ object: { etag: await md5Of(bytes) } });
  });

  test("of a request needs no length from the caller", async () => {
    const request = new Request("https://x/", { method: "PUT", body: bytes });
    expect(await world.bucket().write("request", request.body)).toMatchObject({ object: { etag: await md5Of(bytes) } });
  });

  test("whose source is slow is waited for: the deadline runs only while R2 owes an answer", async () => {
    const slow = sourceOf(bytes, MIB, { at: 2, waitMs: 600 });
    expect((await world.bucket().write("slow", slow, { size: bytes.byteLength })).kind).toBe("stored");
    expect(world.enqueued).toEqual([]);
  });

  test.each([
    { size: "long", length: 3 * MIB, at: 2, chunk: MIB },
    { size: "short", length: 1_000, at: 1, chunk: 500 },
  ])(
    "($size) that breaks midway: the source's own error, nothing queued, no circuit moved",
    async ({ length, at, chunk }) => {
      const own = new Error("the client went away");
      const broken = () => sourceOf(pattern(length), chunk, { at, error: own });
      for (let i = 0; i < 6; i += 1) {
        await expect(world.bucket().put("broken", broken(), { size: length })).rejects.toBe(own);
      }
      await refreshNow(world.env, "R2_STORAGE");
      expect(world.reports.at(-1)?.counts.write.failure).toBe(0);
      expect(world.enqueued).toEqual([]);
      expect(await env.R2_BUCKET.head("broken")).toBeNull();
      expect((await world.bucket().write("broken", "whole")).kind).toBe("stored");
      await env.R2_BUCKET.delete("broken");
    },
  );

  test.each([
    { what: "fewer", size: 3 * MIB + 1 },
    { what: "more", size: 3 * MIB - 1 },
  ])("with $what bytes than announced is the caller's error", async ({ size }) => {
    await expect(world.bucket().put("length", sourceOf(bytes, MIB), { size })).rejects.toThrow(TypeError);
    expect(world.enqueued).toEqual([]);
  });

  test.each([
    { how: "hangs before it has read any", fault: hanging },
    { how: "has read all and loses the reply", fault: { operations: ["put"], lose_reply: true } as const },
  ])("goes to the queue whole when R2 $how", async ({ fault }) => {
    world.fault(fault);
    const outcome = await world.bucket().write("replayed", sourceOf(bytes, 700_000), { size: bytes.byteLength });
    expect(outcome.kind).toBe("queued");
    expect(world.enqueued[0]).toMatchObject({ isStream: true, request: { size: bytes.byteLength } });
    expect(await md5Of(world.enqueued[0]?.bytes ?? new Uint8Array())).toBe(await md5Of(bytes));
  });

  test("goes to the queue whole when R2 stops in the middle of it", async () => {
    world.r2.put = async (_key: string, body: ReadableStream<Uint8Array>) => {
      const reader = body.getReader();
      await reader.read();
      await reader.cancel();
      throw new Error("put: We encountered an internal error. Please try again. (10001)");
    };
    const outcome = await world.bucket().write("midway", sourceOf(bytes, 700_000), { size: bytes.byteLength });
    expect(outcome.kind).toBe("queued");
    expect(await md5Of(world.enqueued[0]?.bytes ?? new Uint8Array())).toBe(await md5Of(bytes));
  });

  test("that breaks on its way to the queue: its own error, and nothing acknowledged", async () => {
    world.fault(hanging);
    const own = new Error("the client went away");
    const source = sourceOf(bytes, MIB, { at: 2, error: own });
    await expect(world.bucket().put("broken", source, { size: bytes.byteLength })).rejects.toBe(own);
    expect(world.pending.size).toBe(0);
  });

  test("goes straight to the queue, as a stream, while the circuit is open", async () => {
    world.change({ circuits: { read: CLOSED, write: { ...CLOSED, state: "OPEN" } } });
    await world.bucket().put("straight", sourceOf(bytes, 700_000), { size: bytes.byteLength });
    expect(world.enqueued[0]?.isStream).toBe(true);
    expect(await md5Of(world.enqueued[0]?.bytes ?? new Uint8Array())).toBe(await md5Of(bytes));
  });

  test("of 1 MiB or less is read into memory first, and replays always", async () => {
    world.fault(failing);
    const small = pattern(MIB);
    await world.bucket().put("small", sourceOf(small, 100_000), { size: MIB });
    expect(world.enqueued[0]).toMatchObject({ isStream: false, request: { size: MIB } });
    expect(await md5Of(world.enqueued[0]?.bytes ?? new Uint8Array())).toBe(await md5Of(small));
  });

  test("that has outgrown what is kept cannot go to the queue, and its key is quarantined", async () => {
    const large = pattern(20 * MIB);
    world.fault({ operations: ["put"], lose_reply: true });
    await expect(world.bucket().put("large", sourceOf(large, MIB), { size: large.byteLength })).rejects.toMatchObject({
      code: "BODY_NOT_REPLAYABLE",
      outcomeUnknown: true,
      retryAfter: 2,
    });
    expect(world.enqueued).toEqual([]);
    expect((await world.bucket().write("large", "x")).kind).toBe("queued");
  });
});

describe("any body that R2 takes goes to the queue with the same bytes", () => {
  const bytes = pattern(3 * MIB);
  test.each<{ kind: string; value: () => Parameters<R2Bucket["put"]>[1]; is: Uint8Array }>([
    { kind: "a string", value: () => "text ä🎉", is: new TextEncoder().encode("text ä🎉") },
    { kind: "a buffer", value: () => pattern(100).buffer, is: pattern(100) },
    { kind: "a view into a larger buffer", value: () => bytes.subarray(10, 20), is: bytes.slice(10, 20) },
    { kind: "a DataView", value: () => new DataView(bytes.buffer, 10, 10), is: bytes.slice(10, 20) },
    { kind: "a blob", value: () => new Blob([pattern(100)]), is: pattern(100) },
    { kind: "null", value: () => null, is: new Uint8Array(0) },
    { kind: "a buffer of 3 MiB", value: () => bytes, is: bytes },
    { kind: "a blob of 3 MiB", value: () => new Blob([bytes]), is: bytes },
  ])("$kind", async ({ value, is }) => {
    world.fault(failing);
    expect((await world.bucket().write("kinds", value())).kind).toBe("queued");
    const { bytes: got, request } = world.enqueued[0] ?? expect.fail("nothing was queued");
    expect(request.size).toBe(is.byteLength);
    expect(await md5Of(got ?? new Uint8Array())).toBe(await md5Of(is));
  });
});
