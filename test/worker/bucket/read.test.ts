import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { fingerprintOf } from "../../../src/bucket/ledger";
import { CLOSED, md5Of, NO_LEDGER, newWorld, pattern, type World } from "./world";

const OPEN = { ...CLOSED, state: "OPEN" } as const;
let world: World;
beforeEach(() => {
  world = newWorld({ read_timeout_ms: 150, write_timeout_ms: 150 });
});

/** Queues a write in an outage of writes, which is then over as far as R2 is concerned. */
async function queuePut(key: string, value: string | Uint8Array<ArrayBuffer>, options: R2PutOptions = {}) {
  world.fault({ operations: ["put"], error_code: 10001 });
  await refreshNow(world.env, "R2_STORAGE");
  const object = await world.bucket().put(key, value, options);
  world.fault();
  await refreshNow(world.env, "R2_STORAGE");
  world.r2Calls = [];
  return object;
}

async function queueDelete(key: string) {
  world.fault({ operations: ["delete"], error_code: 10001 });
  await refreshNow(world.env, "R2_STORAGE");
  await world.bucket().delete(key);
  world.fault();
  await refreshNow(world.env, "R2_STORAGE");
}

describe("while nothing is queued", () => {
  test("a read is R2's own, its object untouched, without an object call", async () => {
    await env.R2_BUCKET.put("calm", "text");
    await refreshNow(world.env, "R2_STORAGE");
    const calls = world.objectCalls;
    const { source, object } = await world.bucket().read("calm");
    expect([source, object?.constructor.name]).toEqual(["primary", "GetResult"]);
    expect(await (await world.bucket().get("calm", { range: { offset: 1, length: 2 } }))?.text()).toBe("ex");
    expect(await world.bucket().head("calm")).toMatchObject({ size: 4 });
    expect(await world.bucket().get("absent")).toBeNull();
    const unchanged = await world.bucket().get("calm", { onlyIf: { etagDoesNotMatch: object?.etag ?? "" } });
    expect(unchanged).not.toHaveProperty("body");
    expect(world.objectCalls).toBe(calls);
  });

  test("while the read circuit is open a read fails at once, and says when to come again", async () => {
    world.change({ circuits: { read: { ...OPEN, openUntil: Date.now() + 7_500 }, write: CLOSED } });
    const read = world.bucket().get("open");
    await expect(read).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: expect.closeTo(8, -1) });
    expect(world.r2Calls).toEqual([]);
    expect(world.peeks).toEqual([]);
  });

  test.each([
    { how: "answers with an error", fault: { operations: "read", error_code: 10043 } as const },
    { how: "hangs", fault: { operations: "read", hang: true } as const },
  ])("when R2 $how the read is SERVICE_UNAVAILABLE, and counts as a failure", async ({ fault }) => {
    world.fault(fault);
    await expect(world.bucket().get("failed")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 2 });
    await expect(world.bucket().head("failed")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.reduce((sum, { counts }) => sum + counts.read.failure, 0)).toBe(2);
  });

  test.each<{ what: string; options: R2GetOptions; message: RegExp }>([
    { what: "a range that cannot be had", options: { range: { offset: 9 } }, message: /\(10039\)$/ },
    { what: "a negative offset", options: { range: { offset: -1 } }, message: /greater than or equal to 0/ },
    { what: "an etag in quotes", options: { onlyIf: { etagMatches: '"a"' } }, message: /quotes/ },
    { what: "an unreadable If-Match", options: { onlyIf: new Headers({ "if-match": "a" }) }, message: /ETag/ },
    { what: "a short SSE-C key", options: { ssecKey: "ab" }, message: /SSE-C Key/ },
  ])("$what is R2's error as R2 throws it, and no failure", async ({ options, message }) => {
    await env.R2_BUCKET.put("bad", "text");
    await expect(world.bucket().get("bad", options)).rejects.toThrow(message);
    await refreshNow(world.env, "R2_STORAGE");
    expect(world.reports.at(-1)?.counts.read.failure).toBe(0);
  });
});

describe("the first read of a cold isolate", () => {
  test("waits for a snapshot, and so finds what is queued", async () => {
    await queuePut("cold", "queued");
    const { enqueued, pending } = world;
    const shards = [world.busyShard("cold")];
    world = newWorld();
    Object.assign(world, { enqueued, pending });
    world.change({ shards });
    expect(await (await world.bucket().get("cold"))?.text()).toBe("queued");
  });

  test("does not wait long for a ServiceDO that hangs: it asks the shard, and then R2", async () => {
    await env.R2_BUCKET.put("cold", "text");
    world.serviceMood = "hangs";
    const startedAt = Date.now();
    expect(await (await world.bucket().get("cold"))?.text()).toBe("text");
    expect(Date.now() - startedAt).toBeLessThan(1_500);
    expect(world.peeks).toEqual(["cold"]);
  });
});

describe("a queued put is what its key holds", () => {
  const bytes = pattern(5_000);
  const metadata = { httpMetadata: { contentType: "text/plain" }, customMetadata: { a: "1" } };

  test.each([
    { size: "small", value: pattern(100) },
    { size: "large", value: bytes },
    { size: "empty", value: pattern(0) },
  ])("($size) bytes, metadata, etag", async ({ value }) => {
    await env.R2_BUCKET.put("queued", "old");
    await queuePut("queued", value, metadata);
    const { source, object } = await world.bucket().read("queued");
    expect(source).toBe("queue");
    expect(object).toMatchObject({ ...metadata, key: "queued", size: value.byteLength, etag: await md5Of(value) });
    expect(object).toMatchObject({ range: { offset: 0, length: value.byteLength } });
    expect(await (object as R2ObjectBody).bytes()).toEqual(value);
    expect((object as R2ObjectBody).bodyUsed).toBe(true);
    expect(await world.bucket().stat("queued")).toMatchObject({
      source: "queue",
      object: { ...metadata, size: value.byteLength },
    });
  });

  test.each(["arrayBuffer", "bytes", "text", "json", "blob"] as const)(
    "its body is read by %s as R2's is, and once",
    async (method) => {
      await env.R2_BUCKET.put("native", "\ufeff[1]", metadata);
      await queuePut("queued", "\ufeff[1]", metadata);
      const read = async (object: R2ObjectBody | null) => {
        const first = await object?.[method]();
        const told = first instanceof Blob ? [first.type, await first.text()] : first;
        const again = await object?.[method]().catch(String);
        return { told, again, used: object?.bodyUsed, locked: object?.body.locked };
      };
      const native = await read(await env.R2_BUCKET.get("native"));
      expect(native).toMatchObject({ again: expect.stringContaining("already been used"), used: true, locked: true });
      expect(await read(await world.bucket().get("queued"))).toEqual(native);
    },
  );

  test.each<{ range: R2Range | Headers; from: number; to: number }>([
    { range: { offset: 10, length: 5 }, from: 10, to: 15 },
    { range: { suffix: 7 }, from: 4_993, to: 5_000 },
    { range: new Headers({ range: "bytes=4990-" }), from: 4_990, to: 5_000 },
  ])("in ranges: $range", async ({ range, from, to }) => {
    await queuePut("ranged", bytes);
    const object = await world.bucket().get("ranged", { range });
    expect(object).toMatchObject({ size: 5_000, range: { offset: from, length: to - from } });
    expect(await object?.bytes()).toEqual(bytes.slice(from, to));
  });

  test("a range that cannot be had is R2's error", async () => {
    await queuePut("ranged", bytes);
    await expect(world.bucket().get("ranged", { range: { offset: 5_000 } })).rejects.toThrow(/\(10039\)$/);
  });

  test("under conditions: without its body when they do not hold", async () => {
    const { etag } = await queuePut("conditional", bytes);
    const read = (onlyIf: R2Conditional | Headers) => world.bucket().get("conditional", { onlyIf });
    expect(await read({ etagMatches: etag })).toHaveProperty("body");
    const unchanged = await read(new Headers({ "if-none-match": `W/"${etag}"` }));
    expect(unchanged).toMatchObject({ etag, size: 5_000 });
    expect(unchanged).not.toHaveProperty("body");
  });

  test("also while R2 admits no read, without meeting it", async () => {
    await queuePut("closed", "queued");
    world.change({ circuits: { read: OPEN, write: OPEN } });
    await refreshNow(world.env, "R2_STORAGE");
    expect(await (await world.bucket().get("closed"))?.text()).toBe("queued");
    expect(world.r2Calls).toEqual([]);
  });

  test("also when R2 does not answer which write is newer", async () => {
    await queuePut("doubt", "queued");
    world.fault({ operations: "read", hang: true });
    await refreshNow(world.env, "R2_STORAGE");
    expect(await (await world.bucket().get("doubt"))?.text()).toBe("queued");
  });

  test("unless R2 holds a direct write that came after it", async () => {
    await queuePut("newer", "queued");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await env.R2_BUCKET.put("newer", "direct");
    const { source, object } = await world.bucket().read("newer");
    expect([source, await (object as R2ObjectBody).text()]).toEqual(["primary", "direct"]);
  });

  test("but not for an earlier call that was given up and has landed late", async () => {
    await queuePut("late", "queued");
    await new Promise((resolve) => setTimeout(resolve, 5));
    const landed = await env.R2_BUCKET.put("late", "given up");
    const unknownPuts = [
      { fingerprint: fingerprintOf(landed ?? expect.fail("not put")), startedAt: Date.now() - 1_000 },
    ];
    world.ledger = { ...NO_LEDGER, unknownPuts };
    expect(await (await world.bucket().get("late"))?.text()).toBe("queued");
  });

  test("asks the queue before R2: in parallel, a drain in between would leave old bytes and nothing pending", async () => {
    await queuePut("order", "queued");
    world.r2.head = () => {
      expect(world.peeks).toEqual(["order"]);
      return env.R2_BUCKET.head("order");
    };
    await world.bucket().get("order");
    expect(world.r2Calls).toEqual(["head order"]);
  });

  test("drained between two looks: it is looked for again, and found in R2", async () => {
    await queuePut("drained", bytes);
    world.payload = () => {
      world.pending.delete("drained");
      return null;
    };
    await env.R2_BUCKET.put("drained", bytes);
    world.pending.set("drained", { ...(world.pending.get("drained") ?? expect.fail()), fenceAt: Date.now() + 1_000 });
    const { source, object } = await world.bucket().read("drained");
    expect([source, object?.size]).toEqual(["primary", 5_000]);
    expect(world.peeks).toEqual(["drained", "drained"]);
  });

  test("that changes at every look is given up after three", async () => {
    await queuePut("busy", bytes);
    world.payload = () => null;
    await expect(world.bucket().get("busy")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
    expect(world.peeks.length).toBe(3);
  });

  test("that brings fewer bytes than it promised breaks, and never ends cleanly", async () => {
    await queuePut("short", bytes);
    world.payload = () => new Blob([bytes.slice(0, 4_000)]).stream();
    await expect((await world.bucket().get("short"))?.bytes()).rejects.toThrow();
    await expect(new Response((await world.bucket().get("short"))?.body).arrayBuffer()).rejects.toThrow();
  });

  test("encrypted with a customer's key, it is given to nobody without that key", async () => {
    const ssecKey = "ab".repeat(32);
    await queuePut("ssec", "secret", { ssecKey });
    expect(await (await world.bucket().get("ssec", { ssecKey }))?.text()).toBe("secret");
    await expect(world.bucket().get("ssec")).rejects.toThrow(/\(10069\)/);
    await expect(world.bucket().get("ssec", { ssecKey: "cd".repeat(32) })).rejects.toThrow(/\(10069\)/);
  });

  test("is not guessed at when the shard does not answer", async () => {
    await env.R2_BUCKET.put("hidden", "old");
    await queuePut("hidden", "queued");
    world.queueMood = "fails";
    await expect(world.bucket().get("hidden")).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 2 });
    expect(world.r2Calls).toEqual([]);
  });
});

test("a key whose delete is queued holds nothing, though R2 still has it", async () => {
  await env.R2_BUCKET.put("deleted", "old");
  await queueDelete("deleted");
  expect(await world.bucket().read("deleted")).toEqual({ source: "queue", object: null });
  expect(await world.bucket().head("deleted")).toBeNull();
});

describe("strong consistency", () => {
  test("asks the queue at every read, and so finds what another isolate has just queued", async () => {
    await queuePut("strong", "queued");
    const { enqueued, pending } = world;
    world = newWorld();
    Object.assign(world, { enqueued, pending });
    expect(await world.bucket().get("strong")).toBeNull();
    expect(await (await world.bucket({ consistency: "strong" }).get("strong"))?.text()).toBe("queued");
  });

  test("is refused when the queue does not answer", async () => {
    await refreshNow(world.env, "R2_STORAGE");
    world.queueMood = "fails";
    const read = world.bucket({ consistency: "strong" }).get("strong");
    await expect(read).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
  });
});
