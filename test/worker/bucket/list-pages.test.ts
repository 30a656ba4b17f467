import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { drainAll, empty, fill, lines, pend, tell, walk } from "./list-support";
import { newWorld, SHARDS, type World } from "./world";

let world: World;

beforeEach(async () => {
  world = newWorld({ read_timeout_ms: 150 });
  await refreshNow(world.env, "R2_STORAGE");
});
afterEach(empty);

const list = async (options?: Parameters<ReturnType<World["bucket"]>["list"]>[0]) => world.bucket().list(options);

describe("a list of several pages", () => {
  const KEYS = ["a", "b/1", "b/2", "c", "d/1", "e", "f/1", "f/2", "g"];
  const EXPECTED = ["a b/…", "c d/…", "e f/…", "g"];

  const pages = async (between: (page: number) => Promise<unknown>) => {
    let page = 0;
    const found = await walk(async (cursor) => {
      if (page > 0) await between(page);
      page += 1;
      return list({ delimiter: "/", limit: 2, ...(cursor !== undefined && { cursor }) });
    });
    return found.map((each) => lines({ ...each, truncated: false }));
  };
  const overwriteAll = async () => {
    for (const key of KEYS) await pend(world, key, `new ${key}`);
    await tell(world);
  };
  const drain = async () => {
    await drainAll(world);
    await tell(world);
  };

  test("begun in calm goes on in an outage", async () => {
    await fill(...KEYS);
    expect(await pages(overwriteAll)).toEqual(EXPECTED);
  });

  test("begun in an outage goes on in calm", async () => {
    await overwriteAll();
    expect(await pages(drain)).toEqual(EXPECTED);
  });

  test("goes on through both, in turns", async () => {
    await fill(...KEYS);
    expect(await pages((page) => (page % 2 === 1 ? overwriteAll() : drain()))).toEqual(EXPECTED);
  });

  test("goes on after R2's pages that are empty and not the last", async () => {
    await fill(...KEYS);
    let calls = 0;
    world.r2.list = async ({ cursor, ...options }: R2ListOptions) => {
      calls += 1;
      const rest = cursor?.replace("empty:", "") ?? "";
      if (calls % 2 === 0) return env.R2_BUCKET.list({ ...options, ...(rest !== "" && { cursor: rest }) });
      return { objects: [], delimitedPrefixes: [], truncated: true, cursor: `empty:${rest}` };
    };
    expect((await pages(async () => undefined)).filter((page) => page !== "")).toEqual(EXPECTED);
    calls = 0;
    await overwriteAll();
    expect(await pages(async () => undefined)).toEqual(EXPECTED);
  });

  test("begun on R2 itself goes on here, also while writes are queued", async () => {
    await fill(...KEYS);
    const native = await env.R2_BUCKET.list({ delimiter: "/", limit: 2 });
    const cursor = native.truncated ? native.cursor : "";
    const rest = async () => lines(await list({ delimiter: "/", cursor }));
    expect(await rest()).toBe("c e g d/… f/…");
    await overwriteAll();
    await pend(world, "b/3", "new");
    await pend(world, "c0", "new");
    await tell(world);
    expect(await rest()).toBe("c c0 e g d/… f/…");
  });

  test("is not led astray by a cursor of ours that was cut short", async () => {
    await fill(...KEYS);
    const first = await list({ limit: 1 });
    const cursor = first.truncated ? first.cursor.slice(0, -4) : "";
    const asR2 = lines(await env.R2_BUCKET.list({ cursor }));
    expect(lines(await list({ cursor }))).toBe(asR2);
    await overwriteAll();
    expect(lines(await list({ cursor }))).toBe(asR2);
  });

  test("reads no more of the queue than it needs", async () => {
    await overwriteAll();
    world.rangeLimit = 1;
    expect(await pages(async () => undefined)).toEqual(EXPECTED);
    world.ranges = [];
    await list({ limit: 1 });
    expect(world.ranges.length).toBeLessThanOrEqual(2 * SHARDS);
  });
});
