import { describe, expect, test } from "vitest";
import { acquire, record, retryAfterMs, stateAt, trip, view } from "../../../src/circuit/circuit";
import { calls, least, most, openedCircuit, permit, T0 } from "./support";

/** When the circuits of this file become half-open. */
const T1 = T0 + 1_000;

describe("a half-open circuit", () => {
  test("admits one trial at a time and rejects the rest, never parks them", () => {
    const circuit = openedCircuit();
    const verdicts = Array.from({ length: 1_000 }, () => acquire(circuit, T1, least));
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(1);
    expect(verdicts.at(-1)).toEqual({ admitted: false, reason: "half_open" });
  });

  test("asks those it rejects to come back after the first open time", () => {
    expect(retryAfterMs(openedCircuit(), T1)).toBe(1_000);
  });

  test.each([
    { trials: "s", state: "HALF_OPEN" },
    { trials: "ss", state: "CLOSED" },
    { trials: "f", state: "OPEN" },
    { trials: "sf", state: "OPEN" },
    { trials: "ssf", state: "CLOSED" },
    { trials: "itit", state: "HALF_OPEN" },
    { trials: "isits", state: "CLOSED" },
  ])("is $state after the trials $trials", ({ trials, state }) => {
    const circuit = openedCircuit();
    calls(circuit, trials, T1);
    expect(stateAt(circuit, T1)).toBe(state);
  });

  test.each(["ignored", "throttled"] as const)("gives the slot to another when a trial was %s", (outcome) => {
    const circuit = openedCircuit();
    record(circuit, permit(circuit, T1), outcome, T1, most);
    expect(acquire(circuit, T1, least).admitted).toBe(true);
  });

  test("is not wedged by a trial that hangs: its slot runs out", () => {
    const circuit = openedCircuit();
    permit(circuit, T1);
    expect(acquire(circuit, T1 + 9_999, least).admitted).toBe(false);
    expect(acquire(circuit, T1 + 10_000, least).admitted).toBe(true);
  });

  test("is not wedged by a trial from before the clock was set back", () => {
    const circuit = openedCircuit();
    permit(circuit, T1);
    expect(acquire(circuit, T1 - 3_600_000, least).admitted).toBe(true);
  });

  test.each(["success", "failure", "ignored", "throttled"] as const)(
    "is not moved by the late %s of a trial whose slot went to another",
    (outcome) => {
      const circuit = openedCircuit({ trialSuccesses: 1 });
      const hung = permit(circuit, T1);
      permit(circuit, T1 + 10_000);
      record(circuit, hung, outcome, T1 + 10_001, most);
      expect(stateAt(circuit, T1 + 10_001)).toBe("HALF_OPEN");
      expect(acquire(circuit, T1 + 10_001, least).admitted).toBe(false);
    },
  );

  test("is moved once by a trial that is recorded twice", () => {
    const circuit = openedCircuit();
    const trial = permit(circuit, T1);
    record(circuit, trial, "success", T1, most);
    record(circuit, trial, "success", T1, most);
    expect(stateAt(circuit, T1)).toBe("HALF_OPEN");
  });

  test("opens when it is tripped, for longer than before", () => {
    const circuit = openedCircuit();
    trip(circuit, T1, most);
    expect(retryAfterMs(circuit, T1)).toBe(2_000);
  });
});

describe("the ramp after closing", () => {
  test.each([
    { elapsedMs: 0, drawn: 0.099, admitted: true },
    { elapsedMs: 0, drawn: 0.1, admitted: false },
    { elapsedMs: 5_000, drawn: 0.549, admitted: true },
    { elapsedMs: 5_000, drawn: 0.55, admitted: false },
    { elapsedMs: 9_999, drawn: 0.99995, admitted: false },
    { elapsedMs: 10_000, drawn: 0.9999, admitted: true },
    { elapsedMs: -3_600_000, drawn: 0.9999, admitted: true },
  ])("after $elapsedMs ms a draw of $drawn is admitted: $admitted", ({ elapsedMs, drawn, admitted }) => {
    const circuit = openedCircuit();
    calls(circuit, "ss", T1);
    const verdict = acquire(circuit, T1 + elapsedMs, () => drawn);
    expect(verdict.admitted).toBe(admitted);
    expect(verdict).toMatchObject(admitted ? { trial: 0 } : { reason: "ramp" });
  });

  test("asks those it rejects to come back, and once it is over nobody", () => {
    const circuit = openedCircuit();
    calls(circuit, "ss", T1);
    expect([retryAfterMs(circuit, T1), retryAfterMs(circuit, T1 + 10_000)]).toEqual([1_000, 0]);
  });

  test.each([
    { rule: "does not fall back on one failure", letters: "f", state: "CLOSED" },
    { rule: "does not fall back on one failure among successes", letters: "sssssf", state: "CLOSED" },
    { rule: "falls back on a failure rate, of fewer calls than usual", letters: "ssfff", state: "OPEN" },
    { rule: "does not fall back on that rate in 4 calls", letters: "ssff", state: "CLOSED" },
    { rule: "falls back on 5 consecutive failures", letters: "fffff", state: "OPEN" },
  ])("$rule ($letters)", ({ letters, state }) => {
    const circuit = openedCircuit();
    calls(circuit, "ss", T1);
    calls(circuit, letters, T1 + 1);
    expect(stateAt(circuit, T1 + 1)).toBe(state);
  });

  test("needs the usual number of calls again once it is over", () => {
    const circuit = openedCircuit();
    calls(circuit, "ss", T1);
    calls(circuit, "ssfff", T1 + 10_000);
    expect(stateAt(circuit, T1 + 10_000)).toBe("CLOSED");
  });

  test("is lost when it falls back, and the next open time is longer", () => {
    const circuit = openedCircuit();
    calls(circuit, "ssfffff", T1);
    expect(view(circuit, T1)).toMatchObject({ state: "OPEN", openUntil: T1 + 2_000, ramp: null });
  });
});
