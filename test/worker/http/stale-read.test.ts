/** The gateway with the read cache on, while R2 does not answer. */
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { asAdmin, asGateway, verdict } from "./client";

const FAULTS = "/health/services/R2_STORAGE/faults";
const cut = (operations: unknown) => asAdmin("PUT", FAULTS, { json: { faults: [{ operations }] } });
let etag: string;

beforeAll(async () => {
  const path = "/health/config/R2_STORAGE/read_cache_max_bytes";
  expect((await asAdmin("PUT", path, { json: { value: 1_000 } })).status).toBe(200);
  const headers = { "content-type": "text/plain", "cache-control": "public, max-age=60", "x-amz-meta-a": "1" };
  const put = await asGateway("PUT", "/r2/stale/read.txt", { body: "0123456789", headers });
  etag = put.headers.get("etag") ?? "";
  expect(await (await asGateway("GET", "/r2/stale/read.txt")).text()).toBe("0123456789");
  // What the first reader has read is stored after it was answered.
  await cut("read");
  await vi.waitUntil(async () => {
    const response = await asGateway("GET", "/r2/stale/read.txt");
    await response.body?.cancel();
    return response.status === 200;
  });
  await asAdmin("DELETE", FAULTS);
});
afterEach(async () => {
  await asAdmin("DELETE", FAULTS);
});

describe("an object that is served out of the cache", () => {
  test("says so: source, age, and a warning; with all its own headers", async () => {
    await cut("read");
    const response = await asGateway("GET", "/r2/stale/read.txt");
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("0123456789");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "x-failover-source": "cache",
      age: expect.stringMatching(/^\d+$/),
      warning: '110 - "Response is Stale"',
      "content-type": "text/plain",
      "cache-control": "public, max-age=60",
      "accept-ranges": "bytes",
      "x-amz-meta-a": "1",
      etag,
    });
  });

  test("in part, as a HEAD, and as a 304", async () => {
    await cut("read");
    const part = await asGateway("GET", "/r2/stale/read.txt", { headers: { range: "bytes=2-4" } });
    expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
    const head = await asGateway("HEAD", "/r2/stale/read.txt");
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "10"]);
    const unchanged = await asGateway("GET", "/r2/stale/read.txt", { headers: { "if-none-match": etag } });
    expect(unchanged.status).toBe(304);
    for (const { headers } of [part, head, unchanged]) {
      expect(headers.get("x-failover-source")).toBe("cache");
      expect(headers.get("warning")).toBe('110 - "Response is Stale"');
      expect(headers.has("age")).toBe(true);
    }
    expect((await asGateway("GET", "/r2/stale/read.txt", { headers: { range: "bytes=10-" } })).status).toBe(416);
    expect((await asGateway("GET", "/r2/stale/read.txt", { headers: { "if-match": '"x"' } })).status).toBe(412);
  });

  test("gives way to R2 as soon as R2 answers, without a word of age", async () => {
    const head = () => asGateway("HEAD", "/r2/stale/read.txt");
    await expect.poll(async () => (await head()).headers.get("x-failover-source"), { timeout: 20_000 }).toBe("primary");
    const { headers } = await head();
    expect([headers.has("age"), headers.has("warning")]).toEqual([false, false]);
  });
});

test("what is not cached is 503 with Retry-After", async () => {
  await cut("read");
  const response = await asGateway("GET", "/r2/stale/other.txt");
  expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await verdict(response)).toBe("503 SERVICE_UNAVAILABLE");
});
