import { describe, expect, test } from "vitest";
import {
  acquire,
  type Circuit,
  closeFromOutside,
  configure,
  record,
  retryAfterMs,
  stateAt,
  trip,
  view,
} from "../../../src/circuit/circuit";
import { calls, ISOLATE, isolateCircuit, least, most, openedCircuit, permit, T0 } from "./support";

/** Fails the trial that is due at `now`, and returns for how long the circuit is open then. */
function failTrial(circuit: Circuit, now: number): number {
  record(circuit, permit(circuit, now), "failure", now, most);
  return retryAfterMs(circuit, now);
}

describe("an open circuit", () => {
  test("rejects every call with one and the same verdict", () => {
    const circuit = openedCircuit();
    const verdict = acquire(circuit, T0, least);
    expect(verdict).toEqual({ admitted: false, reason: "open" });
    expect(acquire(circuit, T0 + 999, least)).toBe(verdict);
  });

  test("tells when to come back", () => {
    expect(retryAfterMs(openedCircuit(), T0 + 400)).toBe(600);
  });

  test.each([
    { random: least, openMs: 500 },
    { random: () => 0.5, openMs: 750 },
    { random: most, openMs: 1_000 },
  ])("first stays open for $openMs ms, as the jitter has it", ({ random, openMs }) => {
    const circuit = isolateCircuit();
    trip(circuit, T0, random);
    expect(retryAfterMs(circuit, T0)).toBe(openMs);
  });

  test("doubles its time with every failed trial, up to the cap", () => {
    const circuit = openedCircuit();
    const openMs: number[] = [];
    let now = T0 + 1_000;
    for (let trial = 0; trial < 8; trial += 1) {
      openMs.push(failTrial(circuit, now));
      now += openMs.at(-1) ?? 0;
    }
    expect(openMs).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test("is capped also after a thousand openings", () => {
    const circuit = openedCircuit();
    circuit.openings = 5_000;
    expect(failTrial(circuit, T0 + 1_000)).toBe(60_000);
  });

  test.each([
    { rule: "goes on growing when the closed period was short", closedMs: 59_999, openMs: 2_000 },
    { rule: "starts from 1 s again after a stable closed period", closedMs: 60_000, openMs: 1_000 },
  ])("$rule", ({ closedMs, openMs }) => {
    const circuit = openedCircuit();
    calls(circuit, "ss", T0 + 1_000);
    calls(circuit, "fffff", T0 + 1_000 + closedMs);
    expect(retryAfterMs(circuit, T0 + 1_000 + closedMs)).toBe(openMs);
  });

  test("is half-open by the clock alone, though nobody has looked since", () => {
    const circuit = openedCircuit();
    expect(stateAt(circuit, T0 + 999)).toBe("OPEN");
    expect(stateAt(circuit, T0 + 86_400_000)).toBe("HALF_OPEN");
  });

  test("never is open for longer than a cap that was lowered since", () => {
    const circuit = openedCircuit({ baseOpenMs: 50_000 });
    expect(stateAt(circuit, T0 + 10_000)).toBe("OPEN");
    configure(circuit, { ...ISOLATE, maxOpenMs: 100, baseOpenMs: 100 });
    expect(stateAt(circuit, T0 + 10_000)).toBe("HALF_OPEN");
  });

  test("stays open for a call whose clock was read just before it opened", () => {
    const circuit = openedCircuit({ baseOpenMs: 100, maxOpenMs: 100 });
    expect(acquire(circuit, T0 - 100, least)).toEqual({ admitted: false, reason: "open" });
  });

  test("is not kept open by a clock that was set back for an hour", () => {
    expect(stateAt(openedCircuit(), T0 - 3_600_000)).toBe("HALF_OPEN");
  });

  test("is moved by no result of a call that was admitted before it opened", () => {
    const circuit = isolateCircuit();
    const early = permit(circuit, T0);
    calls(circuit, "fffff", T0);
    for (const outcome of ["success", "failure", "ignored", "throttled"] as const)
      record(circuit, early, outcome, T0, most);
    expect(view(circuit, T0)).toMatchObject({ state: "OPEN", generation: 2, openUntil: T0 + 1_000 });
  });

  test("opens only once when it is tripped again", () => {
    const circuit = openedCircuit();
    trip(circuit, T0 + 500, most);
    expect(view(circuit, T0 + 500)).toMatchObject({ generation: 2, openUntil: T0 + 1_000 });
  });
});

describe("an isolate's circuit, when the service-wide one has closed,", () => {
  test.each([{ at: T0 + 500 }, { at: T0 + 1_000 }])("closes too, without a ramp of its own ($at)", ({ at }) => {
    const circuit = openedCircuit();
    closeFromOutside(circuit, at);
    expect(view(circuit, at)).toMatchObject({ state: "CLOSED", ramp: null });
  });

  test("stays as it is when it is closed", () => {
    const circuit = isolateCircuit();
    closeFromOutside(circuit, T0);
    expect(circuit.generation).toBe(1);
  });
});
