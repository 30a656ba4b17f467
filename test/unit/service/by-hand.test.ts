import { describe, expect, test } from "vitest";
import { changedByHand, expiredByHand, isNothing, modeProblem } from "../../../durable-objects/service/by-hand";
import { NOTHING_BY_HAND } from "../../../durable-objects/service/service-state";
import type { ModeChange } from "../../../src/shared/rpc";

const OPEN: ModeChange = { mode: "forced_open", reason: "drill" };

describe("a change that makes no sense is told why", () => {
  test.each<[unknown, RegExp]>([
    [{ ...OPEN, mode: "open" }, /mode must be one of auto, forced_open, forced_closed, metrics_only/],
    [{ ...OPEN, circuits: [] }, /circuits must be a list out of read, write/],
    [{ ...OPEN, circuits: ["delete"] }, /circuits must be/],
    [{ mode: "auto" }, /reason must have/],
    [{ ...OPEN, reason: "x".repeat(501) }, /at most 500/],
    [{ ...OPEN, durationMs: 0 }, /duration_ms must be a whole number/],
    [{ ...OPEN, durationMs: Number.NaN }, /duration_ms/],
  ])("%j", (change, sentence) => {
    expect(modeProblem(change as ModeChange)).toMatch(sentence);
  });
  test("a sound one has no problem", () => {
    expect(modeProblem({ ...OPEN, circuits: ["write"], readOnly: true, durationMs: 1_000 })).toBeNull();
  });
});

describe("what is set by hand", () => {
  test("is set for both circuits unless it names one", () => {
    expect(changedByHand(NOTHING_BY_HAND, OPEN, 0).modes).toEqual({
      read: { mode: "forced_open", until: null },
      write: { mode: "forced_open", until: null },
    });
    const writes = changedByHand(NOTHING_BY_HAND, { ...OPEN, circuits: ["write"], durationMs: 50 }, 100);
    expect(writes.modes.read.mode).toBe("auto");
    expect(writes.modes.write).toEqual({ mode: "forced_open", until: 150 });
  });
  test("ends when its time has run out, each by itself", () => {
    const writes = changedByHand(NOTHING_BY_HAND, { ...OPEN, circuits: ["write"], durationMs: 50 }, 100);
    const both = changedByHand(writes, { ...OPEN, mode: "metrics_only", circuits: ["read"], readOnly: true }, 100);
    expect(expiredByHand(both, 149)).toBe(both);
    const left = expiredByHand(both, 150);
    expect(left.modes).toEqual({ read: { mode: "metrics_only", until: null }, write: { mode: "auto", until: null } });
    expect(left.readOnly.on).toBe(true);
  });
  test("is all taken back by auto, read_only too", () => {
    const held = changedByHand(NOTHING_BY_HAND, { ...OPEN, readOnly: true }, 0);
    expect(isNothing(changedByHand(held, { mode: "auto", reason: "well" }, 1))).toBe(true);
    expect(changedByHand(held, { mode: "auto", reason: "well", readOnly: true }, 1).readOnly.on).toBe(true);
    expect(changedByHand(held, { mode: "auto", reason: "well", circuits: ["read"] }, 1).readOnly.on).toBe(true);
  });
});
