import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { refreshNow, resetIsolate } from "../../../src/bucket/isolate-service";
import { shardOf } from "../../../src/shared/keys";
import { drainAll, empty, fill, lines, PLAIN, pend, tell } from "./list-support";
import { newWorld, SHARDS, type World } from "./world";

const RESERVED = ".r2-failover/canary-1";
let world: World;

beforeEach(async () => {
  world = newWorld({ read_timeout_ms: 150 });
  await refreshNow(world.env, "R2_STORAGE");
});
afterEach(empty);

const list = async (options?: Parameters<ReturnType<World["bucket"]>["list"]>[0]) => world.bucket().list(options);

describe("while nothing is queued", () => {
  test("a list is R2's own, untouched, without an object call", async () => {
    const answer = { objects: [], delimitedPrefixes: [], truncated: false };
    const given: unknown[] = [];
    world.r2.list = (...args: unknown[]) => {
      given.push(...args);
      return answer;
    };
    const calls = world.objectCalls;
    const options = { prefix: "p" };
    expect(await list(options)).toBe(answer);
    expect(given).toEqual([options]);
    expect(given[0]).toBe(options);
    expect(world.objectCalls).toBe(calls);
  });

  test("a page that is not the last has R2's objects, and a cursor of ours", async () => {
    await fill("a", "b/1", "b/2", "c");
    const native = await env.R2_BUCKET.list({ limit: 2, delimiter: "/" });
    const ours = await list({ limit: 2, delimiter: "/" });
    expect(lines(ours)).toBe(lines(native));
    expect(ours.objects[0]?.constructor.name).toBe("HeadResult");
    expect(ours).not.toMatchObject({ cursor: native.truncated && native.cursor });
    const rest = await list({ limit: 2, delimiter: "/", ...(ours.truncated && { cursor: ours.cursor }) });
    expect(lines(rest)).toBe("c");
  });

  test("reserved keys are hidden all the same, and the page is filled up", async () => {
    await fill(RESERVED, ".r2-x", "a", "b");
    expect(lines(await list({ limit: 2 }))).toBe(".r2-x a and more");
    expect(lines(await list({ delimiter: "/" }))).toBe(".r2-x a b");
    expect(lines(await list({ delimiter: "-" }))).toBe("a b .r2-…");
    expect(lines(await list({ prefix: ".r2-failover/" }))).toBe("");
    await env.R2_BUCKET.delete(".r2-x");
    expect(lines(await list({ delimiter: "-" }))).toBe("a b");
    expect(world.ranges).toEqual([]);
  });

  test("R2's error on a bad cursor is R2's, whatever it is", async () => {
    world.r2.list = (options: R2ListOptions) => {
      throw new Error(`list: The continuation token ${options.cursor} is not valid. (10025)`);
    };
    await expect(list({ cursor: "nonsense" })).rejects.toThrow(
      "list: The continuation token nonsense is not valid. (10025)",
    );
    await expect(list({ cursor: "r2f.nonsense" })).rejects.toThrow(/r2f\.nonsense is not valid\. \(10025\)/);
  });
});

describe("while writes are queued", () => {
  test("they are listed with R2's objects, and what is deleted is not", async () => {
    await fill("a", "c", "d");
    await pend(world, "b", "new b");
    await pend(world, "c", "new c");
    await pend(world, "d", null);
    await tell(world);
    const { source, result } = await world.bucket().browse();
    expect([source, lines(result)]).toEqual(["merged", "a b c"]);
    expect(result.objects.map((object) => [object.key, object.size, "queued" in object])).toEqual([
      ["a", 5, false],
      ["b", 5, true],
      ["c", 5, true],
    ]);
  });

  test("the busy shards are asked first, and no others, and then R2", async () => {
    await pend(world, "b", "b");
    await pend(world, "c", "c");
    await tell(world);
    const shards = [...new Set(["b", "c"].map((key) => shardOf(key, SHARDS)))].sort();
    await list();
    expect(world.r2Calls.slice(0, -1).sort()).toEqual(shards.map((shard) => `pendingIn ${shard}`));
    expect(world.r2Calls.at(-1)).toBe("list ");
  });

  test("what is drained after the shards were asked is there", async () => {
    await fill("a", "d");
    await pend(world, "b", "b");
    await pend(world, "d", null);
    await tell(world);
    world.r2.list = async (options: R2ListOptions) => {
      await drainAll(world);
      return env.R2_BUCKET.list(options);
    };
    expect(lines(await list())).toBe("a b");
  });

  test("metadata is listed where it was asked for, as R2 does", async () => {
    const metadata = {
      ...PLAIN,
      httpMetadata: { contentType: "text/x" },
      customMetadata: { a: "1" },
      storageClass: "InfrequentAccess",
    };
    await pend(world, "m", "m", metadata);
    await tell(world);
    const listed = async (include?: ("httpMetadata" | "customMetadata")[]) => {
      const [object] = (await list(include && { include })).objects;
      return [object?.httpMetadata, object?.customMetadata, object?.storageClass];
    };
    expect(await listed()).toEqual([{}, {}, "InfrequentAccess"]);
    expect(await listed(["httpMetadata"])).toEqual([{ contentType: "text/x" }, {}, "InfrequentAccess"]);
    expect(await listed(["customMetadata"])).toEqual([{}, { a: "1" }, "InfrequentAccess"]);
  });

  test("a prefix vanishes with the last of its keys, and comes with the first", async () => {
    await fill("gone/1", "gone/2", "half/1", "half/2", "z");
    for (const key of ["gone/1", "gone/2", "half/1"]) await pend(world, key, null);
    await pend(world, "new/1", "1");
    await tell(world);
    expect(lines(await list({ delimiter: "/" }))).toBe("z half/… new/…");
    expect(lines(await list({ delimiter: "/", startAfter: "half/2" }))).toBe("z new/…");
    expect(lines(await list({ delimiter: "/", startAfter: "new/1" }))).toBe("z");
  });

  describe("and R2 holds a direct write that came later", () => {
    beforeEach(async () => {
      await pend(world, "kept", "queued");
      await pend(world, "back", null);
      await pend(world, "same", "same bytes");
      await pend(world, "late", "queued");
      await tell(world);
      await new Promise((resolve) => setTimeout(resolve, 5));
    });

    test("R2's is listed", async () => {
      await env.R2_BUCKET.put("kept", "direct write");
      await env.R2_BUCKET.put("back", "direct");
      const { objects } = await list();
      expect(objects.map(({ key, size }) => [key, size])).toEqual([
        ["back", 6],
        ["kept", 12],
        ["late", 6],
        ["same", 10],
      ]);
      expect(world.peeks.sort()).toEqual(["back", "kept"]);
    });

    test("the queue is not asked again for what looks the same either way", async () => {
      await env.R2_BUCKET.put("same", "same bytes");
      const { objects } = await list({ prefix: "same" });
      expect(objects[0]).not.toHaveProperty("queued");
      expect(world.peeks).toEqual([]);
    });

    test("but a late landing that the ledger knows is not: the queued write is listed", async () => {
      const landed = await env.R2_BUCKET.put("late", "landed late");
      world.ledger = { ...world.ledger, appliedVersions: [landed?.version ?? ""] };
      const { objects } = await list({ prefix: "late" });
      expect(objects).toMatchObject([{ key: "late", size: 6, queued: true }]);
      expect(world.peeks).toEqual(["late"]);
    });
  });

  test("a list that a shard does not answer is refused: it might show what is deleted", async () => {
    await pend(world, "a", null);
    await tell(world);
    world.queueMood = "fails";
    const refusal = { code: "SERVICE_UNAVAILABLE", retryAfter: 2 };
    await expect(list()).rejects.toMatchObject(refusal);
    await expect(list({ allowPartial: true })).rejects.toMatchObject(refusal);
  });
});

describe("where it is not known which shards are busy", () => {
  const ALL = Array.from({ length: SHARDS }, (_, shard) => `${shard} after `);

  beforeEach(async () => {
    await fill("a");
    await pend(world, "b", "b");
  });

  test("`strong` asks them all", async () => {
    expect(lines(await list())).toBe("a");
    expect(lines(await world.bucket({ consistency: "strong" }).list())).toBe("a b");
    expect(world.ranges.sort()).toEqual(ALL);
  });

  test("`strong` is refused when one does not answer", async () => {
    world.queueMood = "fails";
    const strong = world.bucket({ consistency: "strong" }).list();
    await expect(strong).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE" });
  });

  test("a cold isolate without a snapshot asks them all", async () => {
    resetIsolate();
    world.serviceMood = "fails";
    expect(lines(await list())).toBe("a b");
    expect(world.ranges.sort()).toEqual(ALL);
  });

  test("and with nobody to ask, only R2 is left", async () => {
    resetIsolate();
    world.serviceMood = "fails";
    world.queueMood = "fails";
    expect(lines(await list())).toBe("a");
  });
});
