/** When the object must look again by itself. Derived anew every time, so that a lost alarm is made good. Pure. */
import { stateAt } from "../../src/circuit/circuit";
import { OPERATION_CLASSES } from "../../src/shared/protocol";
import { probesItself, type ServiceState } from "./service-state";

/** Between the trials of a half-open circuit. */
const TRIAL_SPACING_MS = 200;
/** Between probes that are made because a reporter accuses the service. */
const CONFIRM_SPACING_MS = 500;

/** All deadlines of a probe together, and some: a probe that has not ended by then was lost. */
const LONGEST_PROBE_MS = 40_000;

export interface Probing {
  /** Whether a probe is to confirm or to dispel a suspicion. */
  readonly isSuspect: boolean;
  /** When the last probe began; null: none since the object was created. */
  readonly startedAt: number | null;
  readonly isRunning: boolean;
}

/** When the next probe is due: at `now` or before means at once. Null: the service has none. */
export function nextProbeAt(state: ServiceState, probing: Probing, now: number): number | null {
  if (!probesItself(state)) return null;
  if (probing.isRunning) return (probing.startedAt ?? now) + LONGEST_PROBE_MS;
  const last = state.lastCheckAt;
  if (last === null) return now;
  const due = [last + state.config.service.health_check_interval];
  if (probing.isSuspect) due.push((probing.startedAt ?? 0) + CONFIRM_SPACING_MS);
  for (const operationClass of OPERATION_CLASSES) {
    const circuit = state.circuits[operationClass];
    if (stateAt(circuit, now) === "HALF_OPEN") due.push(last + TRIAL_SPACING_MS);
  }
  return Math.max(now, Math.min(...due));
}

/** The time of the next alarm; null: nothing is to come. */
export function nextAlarmAt(state: ServiceState, probing: Probing, now: number): number | null {
  const due: number[] = [];
  const probeAt = nextProbeAt(state, probing, now);
  if (probeAt !== null) due.push(probeAt);
  for (const operationClass of OPERATION_CLASSES) {
    const circuit = state.circuits[operationClass];
    if (stateAt(circuit, now) === "OPEN") due.push(circuit.openUntil);
    const { until } = state.byHand.modes[operationClass];
    if (until !== null) due.push(until);
  }
  if (state.byHand.readOnly.until !== null) due.push(state.byHand.readOnly.until);
  return due.length === 0 ? null : Math.max(now, Math.min(...due));
}
