import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Budget,
  createBudget,
  grant,
  recordRound,
  restartBudget,
  topLevel,
} from "../../../durable-objects/service/budget";

const TOP = topLevel(8);
const rounds = (budget: Budget, ...outcomes: [success: number, failure: number][]) =>
  outcomes.map(([success, failure]) => {
    recordRound(budget, { success, failure }, TOP);
    return budget.level;
  });

describe("the level", () => {
  test("doubles with each round of success, up to six connections a shard", () => {
    const budget = createBudget(1);
    expect(rounds(budget, [1, 0], [2, 0], [4, 0], [8, 0], [16, 0], [32, 0], [48, 0])).toEqual([
      2, 4, 8, 16, 32, 48, 48,
    ]);
  });
  test("a round is as many outcomes as the level, by however many reports", () => {
    expect(rounds(createBudget(4), [1, 0], [1, 1], [0, 0], [1, 0])).toEqual([4, 4, 4, 8]);
  });
  test("one report climbs one step, however much it tells", () => {
    expect(rounds(createBudget(1), [1_000, 0])).toEqual([2]);
  });
  test("halves when half of a round fails", () => {
    expect(rounds(createBudget(16), [8, 8], [4, 4], [0, 4], [0, 2], [0, 1])).toEqual([8, 4, 2, 1, 1]);
  });
  test("one operation that keeps failing among others does not lower it", () => {
    expect(rounds(createBudget(8), [7, 1], [15, 1])).toEqual([16, 32]);
  });
  test("a report without outcomes is no round", () => {
    expect(rounds(createBudget(1), [0, 0])).toEqual([1]);
  });
});

describe("the grants", () => {
  test("in long health a shard gets all its connections, and asks seldom", () => {
    expect(grant(createBudget(TOP), 0, 1_000, TOP, 0)).toMatchObject({ concurrency: 6, operations: 6 * 64 });
  });
  test("after a circuit closed one shard has one operation in flight, and the others none", () => {
    const budget = createBudget(TOP);
    grant(budget, 5, 100, TOP, 0);
    restartBudget(budget);
    expect(grant(budget, 0, 100, TOP, 1).concurrency).toBe(1);
    expect(grant(budget, 1, 100, TOP, 1)).toMatchObject({ concurrency: 0, retryMs: 100 });
  });
  test("no more than is ready", () => {
    expect(grant(createBudget(TOP), 0, 2, TOP, 0).concurrency).toBe(2);
    expect(grant(createBudget(TOP), 0, 0, TOP, 0).concurrency).toBe(0);
  });
  test("to ask is to have finished with the grant before", () => {
    const budget = createBudget(1);
    grant(budget, 0, 10, TOP, 0);
    expect(grant(budget, 0, 10, TOP, 1).concurrency).toBe(1);
  });
  test("a shard that died gives its grant back after 10 s", () => {
    const budget = createBudget(1);
    grant(budget, 0, 10, TOP, 0);
    expect(grant(budget, 1, 10, TOP, 9_999).concurrency).toBe(0);
    expect(grant(budget, 1, 10, TOP, 10_000).concurrency).toBe(1);
  });
  test("a shard that waited goes before the one that has just had its turn", () => {
    const budget = createBudget(1);
    grant(budget, 0, 10, TOP, 0);
    expect(grant(budget, 1, 10, TOP, 10).concurrency).toBe(0);
    expect(grant(budget, 0, 10, TOP, 20).concurrency).toBe(0);
    expect(grant(budget, 1, 10, TOP, 110).concurrency).toBe(1);
  });
  test("a shard that waited and has gone away holds nobody up for long", () => {
    const budget = createBudget(1);
    grant(budget, 0, 10, TOP, 0);
    grant(budget, 1, 10, TOP, 10);
    expect(grant(budget, 0, 10, TOP, 2_011).concurrency).toBe(1);
  });
});

test("however shards ask and report, the grants never exceed the level, and every shard gets its turn", () => {
  const step = fc.record({ shard: fc.nat({ max: 7 }), success: fc.nat({ max: 20 }), failure: fc.nat({ max: 20 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const budget = createBudget(1);
      let now = 0;
      for (const { shard, success, failure } of steps) {
        now += 100;
        recordRound(budget, { success, failure }, TOP);
        const { level } = budget;
        const before = [...budget.grants.values()].reduce((sum, held) => sum + held.concurrency, 0);
        grant(budget, shard, 50, TOP, now);
        const after = [...budget.grants.values()].reduce((sum, held) => sum + held.concurrency, 0);
        expect(after).toBeLessThanOrEqual(Math.max(level, before));
        expect(level).toBeLessThanOrEqual(TOP);
      }
      // All ask in turn, nobody reports: one round to let go and one to take hold, for each of them.
      const served = new Set<number>();
      for (let round = 0; round < 17; round += 1) {
        for (let shard = 0; shard < 8; shard += 1) {
          now += 10;
          if (grant(budget, shard, 50, TOP, now).concurrency > 0) served.add(shard);
        }
      }
      expect(served.size).toBe(8);
    }),
  );
});
