import { beforeEach, describe, expect, test } from "vitest";
import {
  beginTrial,
  createEvidence,
  type Evidence,
  endTrial,
  judge,
  takeReport,
} from "../../../durable-objects/service/evidence";
import { Leases } from "../../../durable-objects/service/leases";
import { newService, type ServiceState } from "../../../durable-objects/service/service-state";
import { circuitViews } from "../../../durable-objects/service/service-views";
import { force, stateAt, trip } from "../../../src/circuit/circuit";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import { emptyHistogram } from "../../../src/shared/latency";
import type { CircuitState, IsolateReport } from "../../../src/shared/protocol";

const T0 = 1_000_000;
const half = () => 0.5;

let state: ServiceState;
let evidence: Evidence;
let leases: Leases;

beforeEach(() => {
  state = newService("R2_STORAGE", DEFAULT_CONFIG, true, T0);
  evidence = createEvidence();
  leases = new Leases(0);
});

function writes(reporter: string, success: number, failure: number, circuit: CircuitState = "CLOSED"): IsolateReport {
  const none = { success: 0, failure: 0, throttled: 0, ignored: 0, consecutiveFailures: 0, latency: emptyHistogram() };
  return {
    reporter,
    counts: { read: none, write: { ...none, success, failure, consecutiveFailures: success > 0 ? 0 : failure } },
    circuits: { read: "CLOSED", write: circuit },
    bucketCalls: {},
    rejected: { read: 0, write: 0 },
    failedReports: 0,
  };
}

function report(at: number, ...args: Parameters<typeof writes>) {
  const sent = writes(...args);
  takeReport(state, evidence, leases, sent, at, half);
  const verdict = judge(state, evidence, at, half);
  leases.tell(sent.reporter, circuitViews(state, at), at);
  return verdict;
}
const write = () => state.circuits.write.state;

describe("a circuit opens", () => {
  test("when a second reporter's circuit is open too", () => {
    expect(report(T0, "a", 0, 5, "OPEN")).toEqual({ reason: null, isSuspect: true });
    expect(report(T0 + 1, "b", 0, 5, "OPEN")).toEqual({ reason: "write: two reporters agree", isSuspect: false });
    expect(write()).toBe("OPEN");
    expect(state.circuits.read.state).toBe("CLOSED");
  });
  test("when five failures in a row come from two reporters", () => {
    report(T0, "a", 0, 3);
    expect(report(T0, "shard:1", 0, 2).reason).toBe("write: two reporters agree");
  });
  test("never by one reporter alone, however often it says so", () => {
    for (let i = 0; i < 20; i += 1) report(T0 + i, "a", 0, 50, "OPEN");
    expect(write()).toBe("CLOSED");
  });
});

describe("a reporter that has not heard that the circuit closed", () => {
  function closedAgain(at: number) {
    trip(state.circuits.write, at, half);
    for (const reporter of ["a", "b"]) leases.tell(reporter, circuitViews(state, at), at);
    const trialAt = state.circuits.write.openUntil;
    for (const moment of [trialAt, trialAt + 200]) {
      const trial = beginTrial(state, evidence, "write", moment, half);
      endTrial(state, evidence, "write", trial, "success", moment, half);
    }
    expect(write()).toBe("CLOSED");
    return trialAt + 201;
  }

  test("does not open it again by what it did before", () => {
    const now = closedAgain(T0);
    expect(report(now, "a", 0, 40, "OPEN")).toEqual({ reason: null, isSuspect: false });
    expect(report(now, "b", 0, 40, "OPEN")).toEqual({ reason: null, isSuspect: false });
    expect(write()).toBe("CLOSED");
  });
  test("is believed from its next report on", () => {
    const now = closedAgain(T0);
    report(now, "a", 0, 40, "OPEN");
    report(now, "b", 0, 40, "OPEN");
    report(now + 1, "a", 0, 5, "OPEN");
    expect(report(now + 1, "b", 0, 5, "OPEN").reason).toBe("write: two reporters agree");
  });
  test("and of whom nothing is known, is believed when every lease has run out", () => {
    const now = closedAgain(T0);
    expect(report(now, "c", 0, 40, "OPEN").isSuspect).toBe(false);
    expect(report(now + 30_000, "d", 0, 40, "OPEN").isSuspect).toBe(true);
  });
});

describe("a probe", () => {
  const probe = (outcome: "success" | "failure" | "throttled", at: number) => {
    const trial = beginTrial(state, evidence, "write", at, half);
    return endTrial(state, evidence, "write", trial, outcome, at + 5, half);
  };

  test("that fails confirms a suspicion", () => {
    report(T0, "a", 0, 5, "OPEN");
    expect(probe("failure", T0)).toBe(true);
    expect(write()).toBe("OPEN");
  });
  test("that fails agrees with a reporter that accuses after it", () => {
    probe("failure", T0);
    expect(report(T0 + 6, "a", 0, 5, "OPEN").reason).toBe("write: confirmed by a probe");
  });
  test("that goes well dispels it, until there is fresh evidence", () => {
    report(T0, "a", 0, 5, "OPEN");
    expect(probe("success", T0)).toBe(false);
    expect(judge(state, evidence, T0 + 6, half)).toEqual({ reason: null, isSuspect: false });
    expect(report(T0 + 7, "a", 0, 1, "OPEN").isSuspect).toBe(true);
  });
  test("that is throttled leaves it as it is", () => {
    report(T0, "a", 0, 5, "OPEN");
    expect(probe("throttled", T0)).toBe(false);
    expect(judge(state, evidence, T0 + 6, half).isSuspect).toBe(true);
  });
  test("that fails with nobody's accusation makes suspect, and a second one opens", () => {
    expect(probe("failure", T0)).toBe(false);
    expect(judge(state, evidence, T0 + 6, half)).toEqual({ reason: null, isSuspect: true });
    expect(probe("failure", T0 + 500)).toBe(true);
  });
  test("counts for nothing when the circuit has changed meanwhile", () => {
    report(T0, "a", 0, 5, "OPEN");
    const trial = beginTrial(state, evidence, "write", T0, half);
    report(T0 + 1, "b", 0, 5, "OPEN");
    const { openUntil } = state.circuits.write;
    expect(endTrial(state, evidence, "write", trial, "failure", T0 + 2, half)).toBe(false);
    expect(state.circuits.write.openUntil).toBe(openUntil);
  });
  test("from before an outage does not open the circuit that has closed since", () => {
    report(T0, "a", 0, 5, "OPEN");
    const trial = beginTrial(state, evidence, "write", T0, half);
    force(state.circuits.write, "forced_open", T0 + 1);
    force(state.circuits.write, "auto", T0 + 2);
    expect(endTrial(state, evidence, "write", trial, "failure", T0 + 3, half)).toBe(false);
    expect(write()).toBe("CLOSED");
  });
  test("is the trial of a half-open circuit: two that go well close it, one that fails opens it again", () => {
    trip(state.circuits.write, T0, half);
    let now = state.circuits.write.openUntil;
    probe("failure", now);
    expect(write()).toBe("OPEN");
    now = state.circuits.write.openUntil;
    expect(stateAt(state.circuits.write, now)).toBe("HALF_OPEN");
    probe("success", now);
    expect(write()).toBe("HALF_OPEN");
    probe("success", now + 200);
    expect(write()).toBe("CLOSED");
  });
});
