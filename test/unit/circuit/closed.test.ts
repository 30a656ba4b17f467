import { describe, expect, test } from "vitest";
import { acquire, configure, record, retryAfterMs, stateAt } from "../../../src/circuit/circuit";
import { calls, ISOLATE, isolateCircuit, least, most, permit, T0 } from "./support";

describe("a closed circuit trips", () => {
  const cases = [
    { rule: "on 5 consecutive failures", letters: "fffff", state: "OPEN" },
    { rule: "not on 4", letters: "ffff", state: "CLOSED" },
    { rule: "not when a success interrupts them", letters: "ffffsffff", state: "CLOSED" },
    { rule: "on 5 that throttled and ignored calls do not interrupt", letters: "ffftif", state: "CLOSED" },
    { rule: "on the fifth of them", letters: "ffftiff", state: "OPEN" },
    { rule: "not on throttled calls", letters: "t".repeat(50), state: "CLOSED" },
    { rule: "not on ignored calls", letters: "i".repeat(50), state: "CLOSED" },
    { rule: "on a failure rate of 50 % in 20 calls", letters: "sf".repeat(10), state: "OPEN" },
    { rule: "not on that rate in 19 calls", letters: `${"fs".repeat(9)}f`, state: "CLOSED" },
    {
      rule: "not on 9 failures in 20 calls",
      letters: `${"s".repeat(8)}${"fffs".repeat(3)}`,
      state: "CLOSED",
    },
    {
      rule: "not on that rate when throttled and ignored calls make up the 20",
      letters: `${"sfti".repeat(9)}f`,
      state: "CLOSED",
    },
  ];
  test.each(cases)("$rule", ({ letters, state }) => {
    const circuit = isolateCircuit();
    calls(circuit, letters, T0);
    expect(stateAt(circuit, T0)).toBe(state);
  });

  test("on 5 consecutive slow failures, though the window has forgotten the first", () => {
    const circuit = isolateCircuit();
    for (let call = 0; call < 5; call += 1) calls(circuit, "f", T0 + call * 30_000);
    expect(stateAt(circuit, T0 + 120_000)).toBe("OPEN");
  });

  test("not on a rate that an idle gap has made old", () => {
    const circuit = isolateCircuit();
    calls(circuit, "sf".repeat(9), T0);
    calls(circuit, "sf", T0 + 10_000);
    expect(stateAt(circuit, T0 + 10_000)).toBe("CLOSED");
  });

  test("at once for all calls in flight: none of them moves it further", () => {
    const circuit = isolateCircuit();
    const permits = Array.from({ length: 50 }, () => permit(circuit, T0));
    for (const each of permits) record(circuit, each, "failure", T0, most);
    expect([stateAt(circuit, T0 + 999), stateAt(circuit, T0 + 1_000)]).toEqual(["OPEN", "HALF_OPEN"]);
    expect(circuit.generation).toBe(3);
  });
});

describe("a closed circuit", () => {
  test("admits with one and the same permit, so that a call allocates nothing", () => {
    const circuit = isolateCircuit();
    expect(acquire(circuit, T0, least)).toBe(acquire(circuit, T0 + 1, least));
  });

  test("asks nobody to come back later", () => {
    expect(retryAfterMs(isolateCircuit(), T0)).toBe(0);
  });

  test("takes a new threshold without losing its run", () => {
    const circuit = isolateCircuit();
    calls(circuit, "ff", T0);
    configure(circuit, { ...ISOLATE, threshold: 3 });
    calls(circuit, "f", T0);
    expect(stateAt(circuit, T0)).toBe("OPEN");
  });

  test.each([
    { rule: "keeps its counts when the window stays", windowMs: 10_000, state: "OPEN" },
    { rule: "starts with empty counts when the window's length changes", windowMs: 20_000, state: "CLOSED" },
  ])("$rule", ({ windowMs, state }) => {
    const circuit = isolateCircuit();
    calls(circuit, "fs".repeat(10), T0);
    configure(circuit, { ...ISOLATE, windowMs });
    calls(circuit, "f", T0);
    expect(stateAt(circuit, T0)).toBe(state);
  });
});
