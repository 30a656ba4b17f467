import { describe, expect, it, test } from "vitest";
import {
  type FallbackDrain,
  fallbackGrant,
  fallbackResult,
  IDLE_FALLBACK,
} from "../../../durable-objects/queue/fallback-drain";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import type { CircuitView, DrainTerms, Outcome } from "../../../src/shared/protocol";

const NOW = 1_738_829_640_000;
const CLOSED: CircuitView = { state: "CLOSED", generation: 1, openUntil: null, ramp: null };

function terms(write: Partial<CircuitView>, changes: Partial<DrainTerms> = {}): DrainTerms {
  return {
    storageId: "s",
    version: 3,
    shardCount: 8,
    circuits: { read: CLOSED, write: { ...CLOSED, ...write } },
    paused: false,
    config: DEFAULT_CONFIG,
    faults: [],
    clockOffsetMs: 0,
    lastWriteSuccessAt: null,
    ...changes,
  };
}

function after(outcomes: readonly Outcome[], now = NOW): FallbackDrain {
  return outcomes.reduce((state, outcome) => fallbackResult(state, outcome, now), IDLE_FALLBACK);
}

describe("without the ServiceDO", () => {
  it("begins with one operation at a time", () => {
    expect(fallbackGrant(IDLE_FALLBACK, terms({}), NOW)).toMatchObject({ concurrency: 1, operations: 1 });
  });

  it("drains also when it never heard of its ServiceDO", () => {
    const grant = fallbackGrant(IDLE_FALLBACK, null, NOW);
    expect(grant).toMatchObject({ concurrency: 1, terms: { version: 0, shardCount: 8, config: DEFAULT_CONFIG } });
  });

  test.each<{ rule: string; known: DrainTerms; retryMs: number }>([
    { rule: "an open circuit, until its trial", known: terms({ state: "OPEN", openUntil: NOW + 700 }), retryMs: 700 },
    { rule: "a circuit forced open, for a minute", known: terms({ state: "FORCED_OPEN" }), retryMs: 60_000 },
    { rule: "a pause, for a minute", known: terms({}, { paused: true }), retryMs: 60_000 },
    {
      rule: "never longer than a minute, whatever it was told",
      known: terms({ state: "OPEN", openUntil: NOW + 3_600_000 }),
      retryMs: 60_000,
    },
  ])("holds for $rule", ({ known, retryMs }) => {
    expect(fallbackGrant(IDLE_FALLBACK, known, NOW)).toEqual({ terms: known, concurrency: 0, operations: 0, retryMs });
  });

  it("tries once when the last known open time has passed", () => {
    const known = terms({ state: "OPEN", openUntil: NOW });
    expect(fallbackGrant(IDLE_FALLBACK, known, NOW)).toMatchObject({ concurrency: 1, operations: 1 });
  });

  test.each<{ outcomes: Outcome[]; concurrency: number }>([
    { outcomes: ["success"], concurrency: 2 },
    { outcomes: ["success", "success"], concurrency: 4 },
    { outcomes: ["success", "success", "success"], concurrency: 6 },
    { outcomes: ["success", "success", "success", "success"], concurrency: 6 },
    { outcomes: ["success", "throttled", "ignored"], concurrency: 2 },
  ])("climbs by doubling after $outcomes", ({ outcomes, concurrency }) => {
    expect(fallbackGrant(after(outcomes), terms({}), NOW).concurrency).toBe(concurrency);
  });

  test.each<{ failures: number; retryMs: number }>([
    { failures: 1, retryMs: 1_000 },
    { failures: 2, retryMs: 2_000 },
    { failures: 6, retryMs: 32_000 },
    { failures: 7, retryMs: 60_000 },
    { failures: 2_000, retryMs: 60_000 },
  ])("holds for $retryMs ms after $failures failures in a row", ({ failures, retryMs }) => {
    const state = after(new Array<Outcome>(failures).fill("failure"));
    expect(fallbackGrant(state, terms({}), NOW)).toMatchObject({ concurrency: 0, retryMs });
    expect(fallbackGrant(state, terms({}), NOW + retryMs)).toMatchObject({ concurrency: 1 });
  });

  it("falls back to one at a time after a failure, and forgets failures after a success", () => {
    const fallen = after(["success", "success", "failure"]);
    expect(fallbackGrant(fallen, terms({}), NOW + 1_000).concurrency).toBe(1);
    const again = fallbackResult(fallbackResult(fallen, "success", NOW), "failure", NOW);
    expect(fallbackGrant(again, terms({}), NOW).retryMs).toBe(1_000);
  });

  it("holds for the longer of its own hold and the circuit's", () => {
    const known = terms({ state: "OPEN", openUntil: NOW + 300 });
    expect(fallbackGrant(after(["failure"]), known, NOW).retryMs).toBe(1_000);
    expect(fallbackGrant(after(["failure"]), terms({ state: "OPEN", openUntil: NOW + 5_000 }), NOW).retryMs).toBe(
      5_000,
    );
  });
});
