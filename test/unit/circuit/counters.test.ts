import { describe, expect, test } from "vitest";
import { count, createCounters, putBack, take } from "../../../src/circuit/reporter";
import type { Outcome } from "../../../src/shared/protocol";

function countWrites(counters: ReturnType<typeof createCounters>, outcomes: readonly Outcome[], latencyMs = 3): void {
  for (const outcome of outcomes) count(counters, "write", outcome, latencyMs);
}

describe("the counters", () => {
  test("count each outcome of each class, with its latency", () => {
    const counters = createCounters();
    countWrites(counters, ["success", "success", "failure", "throttled", "ignored"], 3);
    count(counters, "read", "success", 60_000);
    const taken = take(counters);
    expect(taken.write).toEqual({
      success: 2,
      failure: 1,
      throttled: 1,
      ignored: 1,
      consecutiveFailures: 1,
      latency: [0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    });
    expect(taken.read.success).toBe(1);
    expect(taken.read.latency.at(-1)).toBe(1);
  });

  test.each([
    { outcomes: ["failure", "failure"], run: 2 },
    { outcomes: ["failure", "throttled", "ignored", "failure"], run: 2 },
    { outcomes: ["failure", "failure", "success"], run: 0 },
    { outcomes: ["failure", "success", "failure"], run: 1 },
  ] satisfies { outcomes: Outcome[]; run: number }[])("after $outcomes the run is $run", ({ outcomes, run }) => {
    const counters = createCounters();
    countWrites(counters, outcomes);
    expect(take(counters).write.consecutiveFailures).toBe(run);
  });

  test("are empty once taken, but for the runs, which go on", () => {
    const counters = createCounters();
    countWrites(counters, ["failure", "failure"]);
    take(counters);
    expect(counters.held).toBe(0);
    countWrites(counters, ["failure"]);
    expect(take(counters).write).toMatchObject({ success: 0, failure: 1, consecutiveFailures: 3 });
  });

  test("put back after a failed report, are sent with the next one, once", () => {
    const counters = createCounters();
    countWrites(counters, ["success", "failure", "throttled", "ignored"]);
    const taken = take(counters);
    countWrites(counters, ["failure"]);
    putBack(counters, taken);
    expect(counters.held).toBe(5);
    expect(take(counters).write).toMatchObject({
      success: 1,
      failure: 2,
      throttled: 1,
      ignored: 1,
      consecutiveFailures: 2,
      latency: [0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    });
    expect(take(counters).write.failure).toBe(0);
  });

  test("put back after a success was counted meanwhile, do not bring the run back", () => {
    const counters = createCounters();
    countWrites(counters, ["failure", "failure"]);
    const taken = take(counters);
    countWrites(counters, ["success"]);
    putBack(counters, taken);
    expect(take(counters).write).toMatchObject({ failure: 2, success: 1, consecutiveFailures: 0 });
  });

  test("that were taken are not touched by what is counted later", () => {
    const counters = createCounters();
    countWrites(counters, ["success"]);
    const taken = take(counters);
    countWrites(counters, ["success", "success"]);
    expect(taken.write.success).toBe(1);
    expect(taken.write.latency.reduce((sum, calls) => sum + calls, 0)).toBe(1);
  });
});
