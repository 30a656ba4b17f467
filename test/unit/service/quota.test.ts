import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { grantQuota } from "../../../durable-objects/service/quota";
import type { ShardQuota } from "../../../src/shared/protocol";

const NONE: ShardQuota = { operations: 0, bytes: 0 };
const both = (n: number): ShardQuota => ({ operations: n, bytes: n });

describe("a shard asks for room", () => {
  // limit 640 over 8 shards: blocks of 10.
  test.each([
    ["gets whole blocks", { held: 0, wanted: 1, inUse: 0, others: 0 }, 10],
    ["gets what it wants, rounded up", { held: 10, wanted: 25, inUse: 10, others: 100 }, 30],
    ["gets what is left", { held: 10, wanted: 25, inUse: 10, others: 617 }, 23],
    ["gets nothing when nothing is left", { held: 0, wanted: 1, inUse: 0, others: 640 }, 0],
    ["keeps what it uses, whatever it wants", { held: 30, wanted: 0, inUse: 25, others: 600 }, 30],
    ["gives back all but one spare block", { held: 100, wanted: 5, inUse: 5, others: 0 }, 20],
    ["keeps what is in use under a lowered limit", { held: 50, wanted: 60, inUse: 45, others: 640 }, 45],
  ])("%s", (_, { held, wanted, inUse, others }, granted) => {
    const request = { held: both(held), wanted: both(wanted), inUse: both(inUse), others: both(others) };
    expect(grantQuota({ limit: both(640), shardCount: 8, ...request })).toEqual(both(granted));
  });

  test("0 operations bounds by bytes only", () => {
    const request = { held: NONE, wanted: { operations: 5_000, bytes: 70 }, inUse: NONE, others: NONE };
    const granted = grantQuota({ limit: { operations: 0, bytes: 64 }, shardCount: 1, ...request });
    expect(granted).toEqual({ operations: 1_000_000_000, bytes: 64 });
  });

  test("0 bytes lets nothing in", () => {
    const request = { held: NONE, wanted: both(1), inUse: NONE, others: NONE };
    expect(grantQuota({ limit: { operations: 10, bytes: 0 }, shardCount: 1, ...request }).bytes).toBe(0);
  });
});

test("whatever the shards ask for, fill and give back, no more than the limit is ever granted or in use", () => {
  const step = fc.record({
    shard: fc.nat({ max: 7 }),
    wanted: fc.nat({ max: 200 }),
    fill: fc.double({ min: 0, max: 1, noNaN: true }),
    calm: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
      const held = new Map<number, ShardQuota>();
      const used = new Map<number, number>();
      for (const { shard, wanted, fill, calm } of steps) {
        if (calm) {
          held.delete(shard);
          used.delete(shard);
          continue;
        }
        const others = [...held].filter(([n]) => n !== shard).reduce((sum, [, quota]) => sum + quota.operations, 0);
        const inUse = both(used.get(shard) ?? 0);
        const before = held.get(shard) ?? NONE;
        const request = { held: before, wanted: both(wanted), inUse, others: both(others) };
        const granted = grantQuota({ limit: both(limit), shardCount: 8, ...request });
        expect(granted.operations).toBeGreaterThanOrEqual(inUse.operations);
        expect(granted.operations).toBeGreaterThanOrEqual(Math.min(wanted, limit - others));
        held.set(shard, granted);
        used.set(shard, Math.max(inUse.operations, Math.floor(granted.operations * fill)));
        const total = [...held.values()].reduce((sum, quota) => sum + quota.operations, 0);
        expect(total).toBeLessThanOrEqual(limit);
      }
    }),
  );
});
