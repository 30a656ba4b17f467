import { describe, expect, test } from "vitest";
import {
  acquire,
  force,
  isSuspect,
  record,
  recordCounts,
  retryAfterMs,
  stateAt,
  trip,
  view,
} from "../../../src/circuit/circuit";
import { calls, isolateCircuit, least, most, openedCircuit, permit, serviceCircuit, T0 } from "./support";

const MODES = [
  { mode: "forced_open", state: "FORCED_OPEN", admits: false },
  { mode: "forced_closed", state: "FORCED_CLOSED", admits: true },
  { mode: "metrics_only", state: "METRICS_ONLY", admits: true },
] as const;

describe.each(MODES)("$mode", ({ mode, state, admits }) => {
  test.each(["closed", "open", "half-open"])("is taken from %s", (from) => {
    const circuit = from === "closed" ? isolateCircuit() : openedCircuit();
    const now = from === "half-open" ? T0 + 1_000 : T0;
    force(circuit, mode, now);
    expect(stateAt(circuit, now)).toBe(state);
    expect(acquire(circuit, now, most).admitted).toBe(admits);
  });

  test("is moved by no result, no report, no trip and no time", () => {
    const circuit = isolateCircuit();
    force(circuit, mode, T0);
    calls(circuit, "f".repeat(30), T0);
    recordCounts(circuit, { success: 0, failure: 30, consecutiveFailures: 30 }, T0, most);
    trip(circuit, T0, most);
    expect(stateAt(circuit, T0 + 86_400_000)).toBe(state);
    expect(circuit.generation).toBe(2);
  });

  test("is never suspect", () => {
    const circuit = serviceCircuit();
    force(circuit, mode, T0);
    recordCounts(circuit, { success: 0, failure: 30, consecutiveFailures: 30 }, T0, most);
    expect(isSuspect(circuit, T0)).toBe(false);
  });

  test("makes results of calls from before stale", () => {
    const circuit = isolateCircuit();
    const early = permit(circuit, T0);
    force(circuit, mode, T0);
    force(circuit, "auto", T0);
    for (let call = 0; call < 5; call += 1) record(circuit, early, "failure", T0, most);
    expect(stateAt(circuit, T0)).toBe("CLOSED");
  });

  test("ends by auto: closed, without a ramp and with no evidence kept", () => {
    const circuit = isolateCircuit();
    force(circuit, mode, T0);
    calls(circuit, "ffff", T0);
    force(circuit, "auto", T0);
    calls(circuit, "f", T0);
    expect(view(circuit, T0)).toMatchObject({ state: "CLOSED", ramp: null });
  });

  test("changes nothing when it is set again", () => {
    const circuit = isolateCircuit();
    force(circuit, mode, T0);
    force(circuit, mode, T0);
    expect(circuit.generation).toBe(2);
  });

  test("asks to come back only where it rejects", () => {
    const circuit = isolateCircuit();
    force(circuit, mode, T0);
    expect(retryAfterMs(circuit, T0)).toBe(admits ? 0 : 60_000);
  });
});

test("a forced rejection says so", () => {
  const circuit = isolateCircuit();
  force(circuit, "forced_open", T0);
  expect(acquire(circuit, T0, least)).toEqual({ admitted: false, reason: "forced" });
});

test.each([
  { circuit: isolateCircuit(), now: T0, state: "CLOSED" },
  { circuit: openedCircuit(), now: T0, state: "OPEN" },
  { circuit: openedCircuit(), now: T0 + 1_000, state: "HALF_OPEN" },
])("auto leaves a circuit alone that is not forced: $state", ({ circuit, now, state }) => {
  force(circuit, "auto", now);
  expect(stateAt(circuit, now)).toBe(state);
});

test("a mode set on a half-open circuit has a generation of its own, though nobody had looked since it was open", () => {
  const shown = view(openedCircuit(), T0 + 1_000);
  const circuit = openedCircuit();
  force(circuit, "forced_open", T0 + 1_000);
  expect(circuit.generation).toBeGreaterThan(shown.generation);
});
