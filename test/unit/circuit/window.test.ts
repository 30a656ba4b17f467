import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { add, clear, createWindow, expire } from "../../../src/circuit/window";
import { T0 } from "./support";

describe("a sliding window of 10 s", () => {
  const cases: {
    rule: string;
    adds: [at: number, success: number, failure: number][];
    readAt: number;
    left: number[];
  }[] = [
    {
      rule: "counts what happens within it",
      adds: [
        [0, 3, 1],
        [4_000, 2, 2],
      ],
      readAt: 9_999,
      left: [5, 3],
    },
    { rule: "keeps a result until its bucket leaves", adds: [[999, 1, 0]], readAt: 9_999, left: [1, 0] },
    { rule: "drops a result that is 10 s old", adds: [[0, 1, 1]], readAt: 10_000, left: [0, 0] },
    {
      rule: "drops bucket after bucket",
      adds: [
        [0, 1, 0],
        [1_000, 2, 0],
        [2_000, 4, 0],
      ],
      readAt: 11_000,
      left: [4, 0],
    },
    { rule: "is empty after an idle gap of one window", adds: [[0, 7, 7]], readAt: 10_000, left: [0, 0] },
    { rule: "is empty after an idle gap of days", adds: [[0, 7, 7]], readAt: 259_200_000, left: [0, 0] },
    {
      rule: "starts anew after an idle gap",
      adds: [
        [0, 7, 7],
        [86_400_000, 1, 0],
      ],
      readAt: 86_400_000,
      left: [1, 0],
    },
    {
      rule: "reuses a bucket without its old counts",
      adds: [
        [500, 7, 7],
        [10_500, 1, 0],
      ],
      readAt: 10_500,
      left: [1, 0],
    },
    { rule: "expires nothing when the clock is set back", adds: [[5_000, 1, 1]], readAt: 1_000, left: [1, 1] },
    {
      rule: "counts what is written behind a clock set back",
      adds: [
        [5_000, 1, 0],
        [1_000, 0, 1],
      ],
      readAt: 5_000,
      left: [1, 1],
    },
  ];
  test.each(cases)("$rule", ({ adds, readAt, left }) => {
    const window = createWindow(10_000);
    for (const [at, success, failure] of adds) add(window, T0 + at, success, failure);
    expire(window, T0 + readAt);
    expect([window.success, window.failure]).toEqual(left);
  });

  test("is empty once cleared", () => {
    const window = createWindow(10_000);
    add(window, T0, 3, 4);
    clear(window);
    add(window, T0, 1, 0);
    expect([window.success, window.failure]).toEqual([1, 0]);
  });
});

test("agrees with a list of timestamped results, at any length and rhythm", () => {
  const step = fc.record({
    afterMs: fc.oneof(fc.nat(50), fc.nat(3_000), fc.nat(40_000)),
    success: fc.nat(3),
    failure: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1_000, max: 30_000 }), fc.array(step, { maxLength: 60 }), (windowMs, steps) => {
      const window = createWindow(windowMs);
      const bucketOf = (at: number): number => Math.floor(at / (windowMs / 10));
      const results: { at: number; success: number; failure: number }[] = [];
      let now = T0;
      for (const { afterMs, success, failure } of steps) {
        now += afterMs;
        expire(window, now);
        const before = results.filter(({ at }) => bucketOf(at) > bucketOf(now) - 10);
        expect(window.success).toBe(before.reduce((sum, result) => sum + result.success, 0));
        expect(window.failure).toBe(before.reduce((sum, result) => sum + result.failure, 0));
        add(window, now, success, failure);
        results.push({ at: now, success, failure });
      }
    }),
  );
});
