/** What reports and probes say, brought to the circuits: who is believed, and when a circuit opens. Pure. */
import {
  acquire,
  type Permit,
  record,
  recordCounts,
  stateAt,
  isSuspect as triggersMet,
  trip,
} from "../../src/circuit/circuit";
import {
  type ClassCounts,
  type IsolateReport,
  OPERATION_CLASSES,
  type OperationClass,
  type Outcome,
} from "../../src/shared/protocol";
import { type Accusations, answer, createAccusations, hear, suspicion } from "./confirm";
import type { Leases } from "./leases";
import type { ServiceState } from "./service-state";

type Random = () => number;

/** The probe's name among the reporters. */
const PROBE = "probe";

export interface Evidence {
  readonly accusations: Record<OperationClass, Accusations>;
}

export function createEvidence(): Evidence {
  return { accusations: { read: createAccusations(), write: createAccusations() } };
}

/** The circuit has changed its state: evidence is of one generation. */
export function forgetEvidence(evidence: Evidence, operationClass: OperationClass): void {
  evidence.accusations[operationClass] = createAccusations();
}

/**
 * Whether what a reporter says is of the circuit's present generation. What it did before it heard of a change counts in
 * the metrics and moves nothing: else those who have not heard yet that a circuit closed would open it again. A reporter
 * that is not known is believed once everybody must have heard.
 */
export function isCurrent(
  state: ServiceState,
  leases: Leases,
  reporter: string,
  operationClass: OperationClass,
  now: number,
): boolean {
  const circuit = state.circuits[operationClass];
  const told = leases.toldTo(reporter);
  if (told !== null) return told[operationClass].generation === circuit.generation;
  return now - circuit.closedAt >= state.config.service.lease_cap_ms;
}

/** Takes a report in. Call `judge` after it. */
export function takeReport(
  state: ServiceState,
  evidence: Evidence,
  leases: Leases,
  report: IsolateReport,
  now: number,
  random: Random,
): void {
  for (const operationClass of OPERATION_CLASSES) {
    const circuit = state.circuits[operationClass];
    stateAt(circuit, now);
    if (!isCurrent(state, leases, report.reporter, operationClass, now)) continue;
    const counts = report.counts[operationClass];
    recordCounts(circuit, counts, now, random);
    hear(evidence.accusations[operationClass], report.reporter, report.circuits[operationClass], counts, now);
  }
}

/** Opens what is confirmed. `reason`: why, if anything was opened. `isSuspect`: a probe is wanted. */
export function judge(
  state: ServiceState,
  evidence: Evidence,
  now: number,
  random: Random,
): { readonly reason: string | null; readonly isSuspect: boolean } {
  const reasons: string[] = [];
  let isSuspect = false;
  for (const operationClass of OPERATION_CLASSES) {
    const verdict = suspicionOf(state, evidence, operationClass, now);
    if (verdict === "suspect") isSuspect = true;
    if (verdict !== "confirmed") continue;
    trip(state.circuits[operationClass], now, random);
    const isProbed = evidence.accusations[operationClass].byReporter.has(PROBE);
    reasons.push(isProbed ? confirmedByProbe(operationClass) : `${operationClass}: two reporters agree`);
  }
  return { reason: reasons.length === 0 ? null : reasons.join(", "), isSuspect };
}

function suspicionOf(state: ServiceState, evidence: Evidence, operationClass: OperationClass, now: number) {
  const circuit = state.circuits[operationClass];
  if (stateAt(circuit, now) !== "CLOSED") return "none";
  const { window_ms: windowMs } = state.config.service;
  return suspicion(evidence.accusations[operationClass], triggersMet(circuit, now), now, windowMs);
}

/** What a probe is for, fixed when it begins: its result counts for that only. */
export interface Trial {
  readonly startedAt: number;
  readonly generation: number;
  readonly permit: Permit | null;
  readonly isSuspect: boolean;
}

export function beginTrial(
  state: ServiceState,
  evidence: Evidence,
  operationClass: OperationClass,
  now: number,
  random: Random,
): Trial {
  const circuit = state.circuits[operationClass];
  const verdict = stateAt(circuit, now) === "HALF_OPEN" ? acquire(circuit, now, random) : null;
  return {
    startedAt: now,
    generation: circuit.generation,
    permit: verdict?.admitted === true ? verdict : null,
    isSuspect: suspicionOf(state, evidence, operationClass, now) === "suspect",
  };
}

export function confirmedByProbe(operationClass: OperationClass): string {
  return `${operationClass}: confirmed by a probe`;
}

/** Takes a probe's result in. True: it confirmed a suspicion, and the circuit is open. */
export function endTrial(
  state: ServiceState,
  evidence: Evidence,
  operationClass: OperationClass,
  trial: Trial,
  outcome: Outcome,
  now: number,
  random: Random,
): boolean {
  const circuit = state.circuits[operationClass];
  stateAt(circuit, now);
  if (circuit.generation !== trial.generation) return false;
  if (trial.permit !== null) {
    record(circuit, trial.permit, outcome, now, random);
    return false;
  }
  const counts = probeCounts(outcome);
  recordCounts(circuit, counts, now, random);
  const accusations = evidence.accusations[operationClass];
  hear(accusations, PROBE, outcome === "failure" ? "OPEN" : "CLOSED", counts, now);
  if (outcome === "success") answer(accusations, trial.startedAt);
  if (outcome !== "failure" || !trial.isSuspect || circuit.state !== "CLOSED") return false;
  trip(circuit, now, random);
  return true;
}

function probeCounts(outcome: Outcome): Pick<ClassCounts, "success" | "failure" | "consecutiveFailures"> {
  const failure = outcome === "failure" ? 1 : 0;
  return { success: outcome === "success" ? 1 : 0, failure, consecutiveFailures: failure };
}
