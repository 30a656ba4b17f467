import { describe, expect, test } from "vitest";
import { admitRatio, stateAt, trip, view, viewAdmits } from "../../../src/circuit/circuit";
import type { CircuitState, CircuitView } from "../../../src/shared/protocol";
import { calls, isolateCircuit, most, openedCircuit, serviceCircuit, T0 } from "./support";

const seen = (state: CircuitState, more: Partial<CircuitView> = {}): CircuitView => ({
  state,
  generation: 1,
  openUntil: null,
  ramp: null,
  ...more,
});
const ramp = { from: 0.1, startedAt: T0, durationMs: 10_000 };

describe("the share of calls that a view admits", () => {
  test.each([
    { view: seen("CLOSED"), now: T0, ratio: 1 },
    { view: seen("CLOSED", { ramp }), now: T0, ratio: 0.1 },
    { view: seen("CLOSED", { ramp }), now: T0 + 5_000, ratio: 0.55 },
    { view: seen("CLOSED", { ramp }), now: T0 + 10_000, ratio: 1 },
    { view: seen("CLOSED", { ramp }), now: T0 - 50, ratio: 0.1 },
    { view: seen("CLOSED", { ramp: { ...ramp, durationMs: 0 } }), now: T0, ratio: 1 },
    { view: seen("OPEN", { openUntil: T0 + 1_000 }), now: T0, ratio: 0 },
    { view: seen("OPEN", { openUntil: T0 + 1_000 }), now: T0 + 5_000, ratio: 0 },
    { view: seen("HALF_OPEN"), now: T0, ratio: 0 },
    { view: seen("HALF_OPEN", { trialRatio: 0.1 }), now: T0, ratio: 0.1 },
    { view: seen("FORCED_OPEN"), now: T0, ratio: 0 },
    { view: seen("FORCED_CLOSED"), now: T0, ratio: 1 },
    { view: seen("METRICS_ONLY"), now: T0, ratio: 1 },
  ])("is $ratio: $view at $now", ({ view: given, now, ratio }) => {
    expect(admitRatio(given, now)).toBeCloseTo(ratio, 10);
    expect(viewAdmits(given, now, () => ratio - 0.001)).toBe(ratio > 0);
    expect(viewAdmits(given, now, () => ratio + 0.001)).toBe(ratio === 1);
  });
});

describe("a circuit is seen", () => {
  test("closed", () => {
    expect(view(isolateCircuit(), T0)).toEqual(seen("CLOSED"));
  });

  test("open, with the time at which it will be tried again", () => {
    expect(view(openedCircuit(), T0)).toEqual(seen("OPEN", { generation: 2, openUntil: T0 + 1_000 }));
  });

  test("half-open once that time has come, in a generation of its own", () => {
    expect(view(openedCircuit(), T0 + 1_000)).toEqual(seen("HALF_OPEN", { generation: 3, trialRatio: 0.1 }));
  });

  test("with probes: half-open, admitting nobody", () => {
    const circuit = serviceCircuit();
    trip(circuit, T0, most);
    expect(view(circuit, T0 + 1_000)).toEqual(seen("HALF_OPEN", { generation: 3 }));
  });

  test("ramping while it does, and then plainly closed, in the same generation", () => {
    const circuit = openedCircuit();
    calls(circuit, "ss", T0 + 1_000);
    expect(view(circuit, T0 + 1_000)).toEqual(
      seen("CLOSED", { generation: 4, ramp: { ...ramp, startedAt: T0 + 1_000 } }),
    );
    expect(view(circuit, T0 + 11_000)).toEqual(seen("CLOSED", { generation: 4 }));
    expect(stateAt(circuit, T0 + 11_000)).toBe("CLOSED");
  });
});
