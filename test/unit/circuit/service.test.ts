import { describe, expect, test } from "vitest";
import { isSuspect, record, recordCounts, stateAt, trip, view } from "../../../src/circuit/circuit";
import { isolateCircuit, most, permit, serviceCircuit, T0 } from "./support";

type Report = [success: number, failure: number, consecutiveFailures: number];

function report(
  circuit: Parameters<typeof recordCounts>[0],
  [success, failure, consecutiveFailures]: Report,
  now: number,
): void {
  recordCounts(circuit, { success, failure, consecutiveFailures }, now, most);
}

describe("a service-wide circuit", () => {
  const cases: { rule: string; reports: Report[]; suspect: boolean }[] = [
    { rule: "is suspect after a report of 5 consecutive failures", reports: [[0, 5, 5]], suspect: true },
    {
      rule: "is suspect after 5 reports of one failure each",
      reports: [
        [0, 1, 1],
        [0, 1, 1],
        [0, 1, 1],
        [0, 1, 1],
        [0, 1, 1],
      ],
      suspect: true,
    },
    {
      rule: "is not suspect when a report of successes is among them",
      reports: [
        [0, 4, 4],
        [1, 0, 0],
        [0, 4, 4],
      ],
      suspect: false,
    },
    {
      rule: "takes over the run in which a mixed report ends",
      reports: [
        [9, 4, 4],
        [0, 1, 5],
      ],
      suspect: true,
    },
    {
      rule: "leaves a run alone on a report without calls",
      reports: [
        [0, 4, 4],
        [0, 0, 0],
        [0, 1, 1],
      ],
      suspect: true,
    },
    {
      rule: "is suspect at a rate of 50 % in 20 calls",
      reports: [
        [5, 1, 0],
        [5, 9, 0],
      ],
      suspect: true,
    },
    { rule: "is not suspect at a lower rate", reports: [[11, 9, 0]], suspect: false },
  ];
  test.each(cases)("$rule, and stays closed until it is confirmed", ({ reports, suspect }) => {
    const circuit = serviceCircuit();
    for (const each of reports) report(circuit, each, T0);
    expect([isSuspect(circuit, T0), stateAt(circuit, T0)]).toEqual([suspect, "CLOSED"]);
  });

  test("opens when it is tripped, and is suspect no more", () => {
    const circuit = serviceCircuit();
    report(circuit, [0, 5, 5], T0);
    trip(circuit, T0, most);
    expect([isSuspect(circuit, T0), stateAt(circuit, T0)]).toEqual([false, "OPEN"]);
  });

  test("is suspect no more when the window has passed over a bad rate", () => {
    const circuit = serviceCircuit();
    report(circuit, [10, 10, 0], T0);
    expect([isSuspect(circuit, T0 + 8_999), isSuspect(circuit, T0 + 10_000)]).toEqual([true, false]);
  });

  test("has its run ended by a probe that succeeds", () => {
    const circuit = serviceCircuit();
    report(circuit, [0, 5, 5], T0);
    record(circuit, permit(circuit, T0), "success", T0, most);
    expect(isSuspect(circuit, T0)).toBe(false);
  });

  test("does not open by its own calls either: probes too only make it suspect", () => {
    const circuit = serviceCircuit();
    for (let probe = 0; probe < 5; probe += 1) record(circuit, permit(circuit, T0), "failure", T0, most);
    expect([isSuspect(circuit, T0), stateAt(circuit, T0)]).toEqual([true, "CLOSED"]);
  });

  test("is not moved by reports while it is open", () => {
    const circuit = serviceCircuit();
    trip(circuit, T0, most);
    report(circuit, [100, 0, 0], T0 + 1);
    report(circuit, [0, 100, 100], T0 + 1);
    expect(view(circuit, T0 + 1)).toMatchObject({ state: "OPEN", generation: 2, openUntil: T0 + 1_000 });
  });

  test("with probes, is not moved by reports while it is half-open: they tell of calls from before", () => {
    const circuit = serviceCircuit();
    trip(circuit, T0, most);
    report(circuit, [100, 0, 0], T0 + 1_000);
    report(circuit, [0, 100, 100], T0 + 1_000);
    expect(stateAt(circuit, T0 + 1_000)).toBe("HALF_OPEN");
  });

  test("closes after two successful probes, without any traffic", () => {
    const circuit = serviceCircuit();
    trip(circuit, T0, most);
    record(circuit, permit(circuit, T0 + 1_000), "success", T0 + 1_000, most);
    record(circuit, permit(circuit, T0 + 1_100), "success", T0 + 1_100, most);
    expect(view(circuit, T0 + 1_100)).toMatchObject({
      state: "CLOSED",
      ramp: { from: 0.1, startedAt: T0 + 1_100, durationMs: 10_000 },
    });
  });
});

describe("a service-wide circuit without probes", () => {
  const cases: { reports: Report[]; state: string }[] = [
    { reports: [[1, 0, 0]], state: "HALF_OPEN" },
    {
      reports: [
        [1, 0, 0],
        [1, 0, 0],
      ],
      state: "CLOSED",
    },
    { reports: [[0, 1, 1]], state: "OPEN" },
    { reports: [[9, 1, 1]], state: "CLOSED" },
    { reports: [[1, 1, 1]], state: "OPEN" },
    { reports: [[0, 0, 0]], state: "HALF_OPEN" },
  ];
  test.each(cases)("is $state after trials reported as [success, failure, run] $reports", ({ reports, state }) => {
    const circuit = serviceCircuit({ trials: "ratio" });
    trip(circuit, T0, most);
    for (const each of reports) report(circuit, each, T0 + 1_000);
    expect(stateAt(circuit, T0 + 1_000)).toBe(state);
  });
});

test("a circuit that needs nobody's leave is never suspect: it opens", () => {
  const circuit = isolateCircuit();
  report(circuit, [0, 5, 5], T0);
  expect([isSuspect(circuit, T0), stateAt(circuit, T0)]).toEqual([false, "OPEN"]);
});
