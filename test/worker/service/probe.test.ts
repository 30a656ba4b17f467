import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { adjustOffset, probeBucket } from "../../../durable-objects/service/probe";

const DEADLINES = { readMs: 1_000, writeMs: 1_000 };
const CANARY = ".r2-failover/canary-3";
const r2 = env.R2_BUCKET;

/** R2 with some methods replaced. */
function bucketWith(change: Partial<R2Bucket>): R2Bucket {
  return new Proxy(r2, {
    get: (target, member) => {
      const own: unknown = Reflect.get(change, member) ?? Reflect.get(target, member, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}
const down =
  (code = 10001) =>
  () =>
    Promise.reject(new Error(`x: down (${code})`));
const probe = (change: Partial<R2Bucket> = {}, deadlines = DEADLINES) =>
  probeBucket(bucketWith(change), 3, deadlines, Date.now);

describe("a probe", () => {
  test("writes a canary, reads it back and deletes it", async () => {
    const { result, outcomes } = await probe();
    expect(result).toMatchObject({ write: { ok: true }, read: { ok: true }, remove: { ok: true } });
    expect(outcomes).toEqual({ read: "success", write: "success" });
    expect(await r2.head(CANARY)).toBeNull();
  });

  test("takes turns at eight canaries", async () => {
    const keys = new Set<string>();
    const put = (key: string, ...rest: [string, R2PutOptions]) => {
      keys.add(key);
      return r2.put(key, ...rest);
    };
    for (let n = 0; n < 20; n += 1)
      await probeBucket(bucketWith({ put: put as R2Bucket["put"] }), n, DEADLINES, Date.now);
    expect(keys.size).toBe(8);
  });

  test.each<[string, Partial<R2Bucket>, { read: string; write: string }]>([
    ["put fails: reads are judged by themselves", { put: down() }, { read: "success", write: "failure" }],
    ["get fails", { get: down() }, { read: "failure", write: "success" }],
    ["delete fails", { delete: down() }, { read: "success", write: "failure" }],
    ["all fail", { put: down(), get: down(), delete: down() }, { read: "failure", write: "failure" }],
    ["put is throttled", { put: down(10058) }, { read: "success", write: "throttled" }],
    [
      "R2 refuses the put as the caller's fault: it is at work",
      { put: down(10031) },
      { read: "success", write: "success" },
    ],
    [
      "the connection is cut",
      { get: () => Promise.reject(new Error("Network connection lost.")) },
      { read: "failure", write: "success" },
    ],
  ])("%s", async (_, change, outcomes) => {
    expect((await probe(change)).outcomes).toEqual(outcomes);
  });

  test("does not delete what it could not write", async () => {
    let deletes = 0;
    const { result } = await probe({
      put: down(),
      delete: async () => {
        deletes += 1;
      },
    });
    expect({ deletes, remove: result.remove }).toEqual({ deletes: 0, remove: { ok: false, ms: null } });
  });

  test("finds bytes that do not match their checksum", async () => {
    const get = async (key: string) => {
      const object = await r2.get(key);
      return { checksums: object?.checksums, arrayBuffer: async () => new TextEncoder().encode("other bytes").buffer };
    };
    const { outcomes } = await probe({ get: get as unknown as R2Bucket["get"] });
    expect(outcomes).toEqual({ read: "failure", write: "success" });
  });

  test("is content with another canary's whole bytes: an earlier put may land late", async () => {
    const put = async (key: string, body: Uint8Array, options: R2PutOptions) => {
      const object = await r2.put(key, body, options);
      await r2.put(key, "late", { sha256: await crypto.subtle.digest("SHA-256", new TextEncoder().encode("late")) });
      return object;
    };
    expect((await probe({ put: put as R2Bucket["put"] })).outcomes).toEqual({ read: "success", write: "success" });
  });

  test("ends each step at its deadline", async () => {
    const never = () => new Promise<never>(() => undefined);
    const start = Date.now();
    const { result, outcomes } = await probe({ put: never, get: never }, { readMs: 30, writeMs: 20 });
    expect(Date.now() - start).toBeLessThan(500);
    expect(result.write.ms).toBeGreaterThanOrEqual(19);
    expect(result.read.ms).toBeGreaterThanOrEqual(29);
    expect(outcomes).toEqual({ read: "failure", write: "failure" });
  });
});

describe("the clock offset", () => {
  test("is R2's time of the write, less the middle of the call", async () => {
    const { result, clockOffset } = await probe({
      put: (async () => ({ uploaded: new Date(1_500) })) as unknown as R2Bucket["put"],
    });
    expect(clockOffset?.most).toBeLessThan(0);
    expect(result.clockOffsetMs).toBeGreaterThanOrEqual(clockOffset?.least ?? 0);
    expect(result.clockOffsetMs).toBeLessThanOrEqual(clockOffset?.most ?? 0);
  });
  test("is not known when the put failed", async () => {
    const { result, clockOffset } = await probe({ put: down() });
    expect([result.clockOffsetMs, clockOffset]).toEqual([null, null]);
  });

  test.each([
    ["stays where the measurement allows it", 0, -20, 30, 0],
    ["moves up as far as is proven", 0, 40, 90, 40],
    ["moves down as far as is proven", 0, -90, -40, -40],
    ["comes back", 500, -5, 5, 5],
    ["is whole milliseconds", 0, 1.4, 9, 1],
    ["believes no more than five minutes", 0, 9_000_000, 9_000_100, 300_000],
  ])("%s", (_, held, least, most, adjusted) => {
    expect(adjustOffset(held, { least, most })).toBe(adjusted);
  });
});
