import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cacheUrl } from "../../../src/bucket/cache-entry";
import { refreshNow } from "../../../src/bucket/isolate-service";
import type { ServiceConfig } from "../../../src/shared/config";
import { CLOSED, newWorld, pattern, type World } from "./world";

const LIMIT = 100_000;
const OPEN = { ...CLOSED, state: "OPEN" } as const;
const bytes = pattern(5_000);
const metadata = {
  httpMetadata: { contentType: "text/plain", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
  customMetadata: { name: "ä" },
};
let world: World;

beforeEach(() => open({ read_cache_max_bytes: LIMIT }));
afterEach(() => vi.restoreAllMocks());

/** A fresh isolate with a fresh snapshot. */
async function open(config: Partial<ServiceConfig>): Promise<void> {
  world = newWorld({ read_timeout_ms: 150, write_timeout_ms: 150, ...config });
  await refreshNow(world.env, "R2_STORAGE");
}

const stored = async (key: string) => {
  const response = await (await caches.open("r2-failover")).match(cacheUrl("R2_STORAGE", key));
  await response?.body?.cancel();
  return response !== undefined;
};

const isStored = (key: string) => expect.poll(() => stored(key)).toBe(true);

/** Reads the key as its first reader does, and waits until the cache has it. */
async function fill(key: string, value: Uint8Array<ArrayBuffer> | string = bytes): Promise<R2Object> {
  const object = await env.R2_BUCKET.put(key, value, metadata);
  await (await world.bucket().get(key))?.arrayBuffer();
  await isStored(key);
  world.r2Calls = [];
  return object;
}

/** R2 admits no read any more. */
async function closeReads(): Promise<void> {
  world.change({ circuits: { read: OPEN, write: CLOSED } });
  await refreshNow(world.env, "R2_STORAGE");
}

const unavailable = { code: "SERVICE_UNAVAILABLE" };

describe("with the cache on, what is read from R2", () => {
  test("comes to its reader with all that R2 says of it, and is stored", async () => {
    const put = await env.R2_BUCKET.put("first", bytes, metadata);
    const { source, object } = await world.bucket().read("first");
    expect(source).toBe("primary");
    expect(object).not.toHaveProperty("stale");
    expect(object).toMatchObject({ ...metadata, version: put.version, etag: put.etag, size: 5_000, bodyUsed: false });
    expect(await stored("first")).toBe(false);
    expect(await (object as R2ObjectBody).bytes()).toEqual(bytes);
    expect((object as R2ObjectBody).bodyUsed).toBe(true);
    await isStored("first");
  });

  test.each<{ how: string; read: (object: R2ObjectBody) => Promise<unknown>; got: unknown }>([
    { how: "text()", read: (object) => object.text(), got: '{"a":1}' },
    { how: "json()", read: (object) => object.json(), got: { a: 1 } },
    { how: "bytes()", read: (object) => object.bytes(), got: new TextEncoder().encode('{"a":1}') },
    { how: "blob()", read: async (object) => (await object.blob()).type, got: "text/plain" },
    { how: "body", read: (object) => new Response(object.body).text(), got: '{"a":1}' },
  ])("is read by $how", async ({ how, read, got }) => {
    await env.R2_BUCKET.put(how, '{"a":1}', metadata);
    expect(await read((await world.bucket().get(how)) as R2ObjectBody)).toEqual(got);
    await isStored(how);
  });

  test("is R2's own object, untouched, when the version was stored lately", async () => {
    await fill("again");
    const native = await env.R2_BUCKET.get("again");
    world.r2.get = async () => native;
    expect(await world.bucket().get("again")).toBe(native);
    await native?.body.cancel();
  });

  test("is stored again when it has changed", async () => {
    await fill("changed", "old");
    await fill("changed", "new");
    await expect
      .poll(async () => {
        const response = await (await caches.open("r2-failover")).match(cacheUrl("R2_STORAGE", "changed"));
        return response?.text();
      })
      .toBe("new");
  });

  test.each<{ what: string; size?: number; options?: R2GetOptions }>([
    { what: "larger than the limit", size: LIMIT + 1 },
    { what: "read in part", options: { range: { offset: 0, length: 5_000 } } },
    { what: "read with a customer's key", options: { ssecKey: "ab".repeat(32) } },
  ])("is not stored when it is $what", async ({ what, size = 5_000, options = {} }) => {
    await env.R2_BUCKET.put(what, pattern(size));
    const put = vi.spyOn(Cache.prototype, "put");
    await (await world.bucket().get(what, options))?.arrayBuffer();
    expect(put).not.toHaveBeenCalled();
  });

  test("is not stored when nobody reads its body", async () => {
    await env.R2_BUCKET.put("unread", bytes);
    const put = vi.spyOn(Cache.prototype, "put");
    const object = await world.bucket().get("unread");
    expect(object?.bodyUsed).toBe(false);
    await env.R2_BUCKET.get("unread");
    expect(put).not.toHaveBeenCalled();
    await object?.body.cancel();
  });

  test("and breaks off midway is not served as if it were whole", async () => {
    await env.R2_BUCKET.put("broken", bytes);
    world.fault({ operations: ["get"], truncate_body: true });
    await refreshNow(world.env, "R2_STORAGE");
    await expect((await world.bucket().get("broken"))?.bytes()).rejects.toThrow();
    await expect.poll(() => stored("broken")).toBe(false);
    await closeReads();
    await expect(world.bucket().get("broken")).rejects.toMatchObject(unavailable);
  });
});

describe("while R2 does not answer, a cached object", () => {
  test.each<{ how: string; fault?: true }>([{ how: "R2 admits nothing" }, { how: "R2 fails", fault: true }])(
    "is served because $how, marked stale with its age",
    async ({ fault }) => {
      const put = await fill("served");
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (fault) {
        world.fault({ operations: "read", error_code: 10001 });
        await refreshNow(world.env, "R2_STORAGE");
      } else await closeReads();
      const { source, object } = await world.bucket().read("served");
      expect(source).toBe("cache");
      expect(object).toMatchObject({
        ...metadata,
        ...{ key: "served", version: put.version, etag: put.etag, httpEtag: put.httpEtag, size: 5_000 },
        ...{ stale: true, uploaded: put.uploaded, range: { offset: 0, length: 5_000 } },
      });
      const { ageMs } = object as unknown as { ageMs: number };
      expect(ageMs).toBeGreaterThanOrEqual(20);
      expect(ageMs).toBeLessThan(10_000);
      expect(object?.checksums.toJSON()).toEqual(put.checksums.toJSON());
      expect(await (object as R2ObjectBody).bytes()).toEqual(bytes);
      const head = await world.bucket().stat("served");
      expect(head).toMatchObject({ source: "cache", object: { etag: put.etag, size: 5_000, stale: true } });
      expect(world.r2Calls).toEqual([]);
    },
  );

  test("may be empty", async () => {
    await fill("empty", "");
    await closeReads();
    expect(await (await world.bucket().get("empty"))?.text()).toBe("");
  });

  test.each<{ range: R2Range | Headers; from: number; to: number }>([
    { range: { offset: 10, length: 5 }, from: 10, to: 15 },
    { range: { suffix: 7 }, from: 4_993, to: 5_000 },
    { range: new Headers({ range: "bytes=4990-" }), from: 4_990, to: 5_000 },
    { range: { offset: 0, length: 9_000 }, from: 0, to: 5_000 },
  ])("is served in parts: $range", async ({ range, from, to }) => {
    await fill("ranged");
    await closeReads();
    const { source, object } = await world.bucket().read("ranged", { range });
    expect(source).toBe("cache");
    expect(object).toMatchObject({ size: 5_000, stale: true, range: { offset: from, length: to - from } });
    expect(await (object as R2ObjectBody).bytes()).toEqual(bytes.slice(from, to));
  });

  test("is served under conditions, without its body when they do not hold", async () => {
    const { etag } = await fill("conditional");
    await closeReads();
    const read = (onlyIf: R2Conditional | Headers) => world.bucket().get("conditional", { onlyIf });
    expect(await read({ etagMatches: etag })).toHaveProperty("body");
    const unchanged = await read(new Headers({ "if-none-match": `"${etag}"` }));
    expect(unchanged).toMatchObject({ etag, stale: true });
    expect(unchanged).not.toHaveProperty("body");
  });

  test.each<{ what: string; options: R2GetOptions; message: RegExp }>([
    { what: "a range that cannot be had", options: { range: { offset: 5_000 } }, message: /\(10039\)$/ },
    { what: "a quoted etag", options: { onlyIf: { etagMatches: '"a"' } }, message: /quotes/ },
  ])("answers $what with R2's own error", async ({ options, message }) => {
    await fill("bad");
    await closeReads();
    await expect(world.bucket().get("bad", options)).rejects.toThrow(message);
  });

  test.each<{ what: string; read: () => Promise<unknown> }>([
    { what: "another key", read: () => world.bucket().get("never read") },
    { what: "a reader with a customer's key", read: () => world.bucket().get("own", { ssecKey: "ab".repeat(32) }) },
    { what: "a strong reader", read: () => world.bucket({ consistency: "strong" }).get("own") },
    { what: "another service", read: () => world.bucket({ service: "OTHER" }).get("own") },
  ])("is not served to $what", async ({ read }) => {
    world.env.R2_SERVICES = JSON.stringify({ OTHER: "R2_BUCKET" });
    await fill("own");
    await closeReads();
    await expect(read()).rejects.toMatchObject(unavailable);
  });

  test("is not served while a write of the key is queued, but the write is", async () => {
    await fill("queued", "in R2");
    world.fault({ operations: ["put"] });
    await refreshNow(world.env, "R2_STORAGE");
    await world.bucket().put("queued", "queued");
    await closeReads();
    const { source, object } = await world.bucket().read("queued");
    expect([source, await (object as R2ObjectBody).text()]).toEqual(["queue", "queued"]);
  });

  test("is served to an isolate that has never heard from its ServiceDO", async () => {
    await fill("cold");
    world = newWorld();
    world.serviceMood = "fails";
    world.queueMood = "fails";
    world.r2.get = async () => {
      throw new Error("get: We encountered an internal error. Please try again. (10001)");
    };
    const { source, object } = await world.bucket().read("cold");
    expect([source, object?.size]).toEqual(["cache", 5_000]);
  });

  test("is not served once the cache is switched off", async () => {
    await fill("off");
    await open({ read_cache_max_bytes: 0 });
    await closeReads();
    await expect(world.bucket().get("off")).rejects.toMatchObject(unavailable);
  });
});

describe("never while R2 answers: a cached object gives way", () => {
  test("to what R2 holds, whatever that is", async () => {
    await fill("live", "old");
    await env.R2_BUCKET.put("live", "new");
    const { source, object } = await world.bucket().read("live");
    expect([source, await (object as R2ObjectBody).text()]).toEqual(["primary", "new"]);
  });

  test("to nothing, when R2 says that the key holds nothing, and is forgotten", async () => {
    await fill("deleted elsewhere");
    await env.R2_BUCKET.delete("deleted elsewhere");
    expect(await world.bucket().get("deleted elsewhere")).toBeNull();
    await expect.poll(() => stored("deleted elsewhere")).toBe(false);
  });

  test("to an object that is too large to be kept, and is forgotten", async () => {
    await fill("grown");
    await env.R2_BUCKET.put("grown", pattern(LIMIT + 1));
    await (await world.bucket().get("grown"))?.arrayBuffer();
    await expect.poll(() => stored("grown")).toBe(false);
  });
});

describe("a cached object is forgotten", () => {
  const failWrites = async (...faults: Parameters<World["fault"]>) => {
    world.fault(...faults);
    await refreshNow(world.env, "R2_STORAGE");
  };
  test.each<{ what: string; write: (key: string) => Promise<unknown> }>([
    { what: "a put", write: (key) => world.bucket().put(key, "new") },
    {
      what: "a conditional put",
      write: (key) => world.bucket().put(key, "new", { onlyIf: { etagDoesNotMatch: "x" } }),
    },
    { what: "a delete", write: (key) => world.bucket().delete(key) },
    { what: "a delete of several", write: (key) => world.bucket().delete(["absent", key]) },
    {
      what: "a put that is queued",
      write: async (key) => {
        await failWrites({ operations: ["put"] });
        expect((await world.bucket().write(key, "new")).kind).toBe("queued");
      },
    },
    {
      what: "a delete that is queued",
      write: async (key) => {
        await failWrites({ operations: ["delete"] });
        expect((await world.bucket().remove(key)).kind).toBe("queued");
      },
    },
    {
      what: "a put whose outcome is unknown",
      write: async (key) => {
        await failWrites({ operations: ["put"], hang: true });
        world.queueMood = "fails";
        await expect(world.bucket().put(key, "new")).rejects.toMatchObject({ outcomeUnknown: true });
      },
    },
    {
      what: "a delete of which nobody knows whether it was queued",
      write: async (key) => {
        world.queueMood = "fails";
        await expect(world.bucket().delete(key)).rejects.toMatchObject({ outcomeUnknown: true });
      },
    },
  ])("at once by $what", async ({ what, write }) => {
    await fill(what);
    await write(what);
    expect(await stored(what)).toBe(false);
  });

  test("not by a put that was refused, and has changed nothing", async () => {
    await fill("refused");
    world.refusal = { ok: false, code: "QUEUE_FULL", message: "full" };
    await failWrites({ operations: ["put"], error_code: 10001 });
    await expect(world.bucket().put("refused", "new")).rejects.toMatchObject({ code: "QUEUE_FULL" });
    await expect(world.bucket().put("refused", "new", { md5: "short" })).rejects.toThrow();
    expect(await stored("refused")).toBe(true);
  });

  test("also when its reader began before the write, and ends after it", async () => {
    await env.R2_BUCKET.put("race", "old");
    const object = await world.bucket().get("race");
    await world.bucket().put("race", "new");
    const put = vi.spyOn(Cache.prototype, "put");
    // What was read is what it was; but it is no longer worth keeping.
    expect(await object?.text()).toBe("old");
    expect(put).not.toHaveBeenCalled();
  });

  test("also when the write comes while it is being stored", async () => {
    await env.R2_BUCKET.put("storing", "old");
    let proceed = () => {};
    const held = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    const native = Cache.prototype.put;
    const put = vi.spyOn(Cache.prototype, "put").mockImplementation(async function (this: Cache, ...args) {
      await held;
      return native.apply(this, args);
    });
    const remove = vi.spyOn(Cache.prototype, "delete");
    await (await world.bucket().get("storing"))?.text();
    await world.bucket().put("storing", "new");
    expect(put).toHaveBeenCalledTimes(1);
    remove.mockClear();
    proceed();
    await expect.poll(() => remove.mock.calls.length).toBe(1);
    await expect.poll(() => stored("storing")).toBe(false);
  });

  test("without keeping the writer waiting for a cache that hangs, or failing with one that fails", async () => {
    const remove = vi.spyOn(Cache.prototype, "delete");
    remove.mockImplementation(() => new Promise(() => undefined));
    await world.bucket().put("hangs", "1");
    remove.mockRejectedValue(new Error("no cache"));
    await world.bucket().put("fails", "1");
    await world.bucket().delete("fails");
  });
});

test("with the cache off nothing of it is touched", async () => {
  await open({ read_cache_max_bytes: 0 });
  const opened = vi.spyOn(caches, "open");
  await world.bucket().put("plain", "1");
  const object = await world.bucket().get("plain");
  expect(object?.constructor.name).toBe("GetResult");
  await object?.text();
  await world.bucket().get("absent");
  await world.bucket().delete("plain");
  await closeReads();
  await expect(world.bucket().get("plain")).rejects.toMatchObject(unavailable);
  expect(opened).not.toHaveBeenCalled();
});
