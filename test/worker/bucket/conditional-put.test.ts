import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { isolateState, refreshNow } from "../../../src/bucket/isolate-service";
import { CLOSED, newWorld, type World } from "./world";

let world: World;
beforeEach(() => {
  world = newWorld({ write_timeout_ms: 150 });
});

const CREATE_ONLY = { onlyIf: { etagDoesNotMatch: "*" } };
const textIn = async (key: string) => (await env.R2_BUCKET.get(key))?.text() ?? null;

describe("a conditional put asks its shard first", () => {
  test("and is R2's to decide where nothing is queued", async () => {
    expect((await world.bucket().write("create", "1", CREATE_ONLY)).kind).toBe("stored");
    expect(world.asked).toMatchObject([{ kind: "conditional_put", items: [{ key: "create" }], writable: true }]);
    expect(await textIn("create")).toBe("1");
    await expect.poll(() => world.settled).toEqual([{ ticket: "t", outcome: "landed" }]);
  });

  test("a condition that does not hold in R2 writes nothing, and put answers null as R2's does", async () => {
    await env.R2_BUCKET.put("exists", "1");
    expect(await world.bucket().put("exists", "2", CREATE_ONLY)).toBeNull();
    expect(await textIn("exists")).toBe("1");
    await expect.poll(() => world.settled).toEqual([{ ticket: "t", outcome: "refused" }]);
  });

  test("an onlyIf that asks nothing makes an ordinary put", async () => {
    await world.bucket().put("plain", "1", { onlyIf: {} });
    expect(world.asked).toEqual([]);
  });

  test("behind a queued operation the shard decides on what is queued", async () => {
    world.verdict = () => ({ verdict: "enqueue" });
    expect((await world.bucket().write("behind", "1", CREATE_ONLY)).kind).toBe("queued");
    world.conditionHolds = false;
    expect((await world.bucket().write("behind", "2", CREATE_ONLY)).kind).toBe("condition_failed");
    expect(world.enqueued[1]?.request).toMatchObject({ condition: { etagDoesNotMatch: ["*"] }, readable: true });
    expect(world.r2Calls).toEqual([]);
  });

  test("what R2 fails is queued with its condition, its ticket and the call that may still land", async () => {
    world.fault({ operations: ["put"], hang: true });
    expect((await world.bucket().write("failed", "1", CREATE_ONLY)).kind).toBe("queued");
    const { condition, ticket, directCall } = world.enqueued[0]?.request ?? expect.fail("nothing was queued");
    expect({ condition, ticket }).toEqual({ condition: { etagDoesNotMatch: ["*"] }, ticket: "t" });
    expect(directCall?.fenceInMs).toBeGreaterThan(4_000);
    expect(world.settled).toEqual([]);
  });

  test("while neither circuit admits, the shard is told that R2 cannot be asked", async () => {
    const open = { ...CLOSED, state: "OPEN" } as const;
    world.change({ circuits: { read: open, write: open } });
    world.refusal = { ok: false, code: "CONDITION_UNVERIFIABLE", message: "unknown", retryAfter: 5 };
    await expect(world.bucket().put("unknown", "1", CREATE_ONLY)).rejects.toMatchObject({
      code: "CONDITION_UNVERIFIABLE",
      retryAfter: 5,
    });
    expect(world.asked).toEqual([]);
    expect(world.enqueued[0]?.request.readable).toBe(false);
    expect(isolateState("R2_STORAGE").rejected.write).toBe(1);
  });

  test("without a shard to ask, it is refused and R2 is not touched", async () => {
    await refreshNow(world.env, "R2_STORAGE");
    world.queueMood = "fails";
    await expect(world.bucket().put("unordered", "1", CREATE_ONLY)).rejects.toMatchObject({
      code: "SERVICE_UNAVAILABLE",
      retryAfter: 2,
    });
    expect(world.r2Calls).toEqual([]);
  });

  test("a caller's error is thrown as it came, and gives the ticket back", async () => {
    const put = world.bucket().put("bad", "1", { ...CREATE_ONLY, md5: "0".repeat(32) });
    await expect(put).rejects.toThrow(/\(10037\)$/);
    await expect.poll(() => world.settled).toEqual([{ ticket: "t", outcome: "refused" }]);
    expect(world.enqueued).toEqual([]);
  });
});
