/** Lists while R2 cannot be listed. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { empty, fill, lines, pend, tell } from "./list-support";
import { CLOSED, newWorld, type World } from "./world";

const OPEN = { ...CLOSED, state: "OPEN" } as const;
const FAILS = { operations: ["list"], error_code: 10001 } as const;

let world: World;

beforeEach(async () => {
  world = newWorld({ read_timeout_ms: 150 });
  await refreshNow(world.env, "R2_STORAGE");
});
afterEach(empty);

const list = async (options?: Parameters<ReturnType<World["bucket"]>["list"]>[0]) => world.bucket().list(options);

const faults = [
  { how: "answers with an error", fault: FAILS },
  { how: "hangs", fault: { operations: ["list"], hang: true } as const },
];

test.each(faults)("a list is refused when R2 $how", async ({ fault }) => {
  world.fault(fault);
  await tell(world);
  await expect(list()).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 2 });
  await pend(world, "a", "a");
  await tell(world);
  await expect(list()).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfter: 2 });
});

test.each(faults)("`allowPartial` lists what is queued when R2 $how, and says so", async ({ fault }) => {
  await fill("a", "c");
  world.fault(fault);
  await tell(world);
  const nothing = { objects: [], delimitedPrefixes: [], truncated: false, partial: true };
  expect(await world.bucket().browse({ allowPartial: true })).toEqual({ source: "queue", result: nothing });
  for (const key of ["b/1", "b/2", "d", "e"]) await pend(world, key, key);
  await pend(world, "c", null);
  await tell(world);
  const { source, result } = await world.bucket().browse({ allowPartial: true, limit: 2, delimiter: "/" });
  expect([source, lines(result), result.partial]).toEqual(["queue", "d b/… and more", true]);
});

test("a list that began with the queue alone goes on with R2's objects when it is back", async () => {
  await fill("a", "c", "f");
  for (const key of ["b", "d"]) await pend(world, key, key);
  world.fault(FAILS);
  await tell(world);
  const first = await list({ allowPartial: true, limit: 1 });
  expect(lines(first)).toBe("b and more");
  world.fault();
  await tell(world);
  const rest = await list({ allowPartial: true, ...(first.truncated && { cursor: first.cursor }) });
  expect([lines(rest), rest.partial]).toEqual(["c d f", undefined]);
});

describe("while the read circuit is open", () => {
  beforeEach(async () => {
    world.change({ circuits: { read: { ...OPEN, openUntil: Date.now() + 7_500 }, write: CLOSED } });
    await tell(world);
  });

  test("a list is refused without any call, and says when to come again", async () => {
    const refusal = { code: "SERVICE_UNAVAILABLE", retryAfter: expect.closeTo(8, -1) };
    await expect(list()).rejects.toMatchObject(refusal);
    await pend(world, "a", "a");
    await tell(world);
    await expect(list()).rejects.toMatchObject(refusal);
    await expect(world.bucket({ consistency: "strong" }).list()).rejects.toMatchObject(refusal);
    expect(world.r2Calls).toEqual([]);
  });

  test("`allowPartial` asks the queue, and R2 not at all", async () => {
    expect(lines(await list({ allowPartial: true }))).toBe("");
    await pend(world, "a", "a");
    await tell(world);
    expect(lines(await list({ allowPartial: true }))).toBe("a");
    expect(world.r2Calls.filter((call) => call.startsWith("list"))).toEqual([]);
  });
});

test("a queued write is left out where this isolate may have written past it", async () => {
  await pend(world, "both", "queued");
  await pend(world, "queued", "queued");
  // This isolate does not know yet that the key is busy.
  await world.bucket().put("both", "direct");
  world.fault(FAILS);
  await tell(world);
  expect(lines(await list({ allowPartial: true }))).toBe("queued");
});

test("bad options are bad options all the same", async () => {
  world.fault(FAILS);
  await tell(world);
  await expect(list({ allowPartial: true, limit: 0 })).rejects.toThrow(/\(10022\)$/);
});
