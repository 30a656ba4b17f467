/** May this call meet R2? Asked of the service-wide circuit, as the snapshot shows it, and of the isolate's own. */
import { acquire, admitRatio, type Permit, record, retryAfterMs, stateAt, viewAdmits } from "../circuit/circuit";
import { count, prompt } from "../circuit/reporter";
import type { CircuitView, OperationClass, Outcome } from "../shared/protocol";
import { type IsolateState, isTrusted } from "./isolate-state";

/** `permit` null: the own circuit has no say. Its result is counted all the same. */
export type Admission =
  | { readonly admitted: true; readonly permit: Permit | null }
  | { readonly admitted: false; readonly retryAfter: number };

const UNASKED: Admission = Object.freeze({ admitted: true, permit: null });
const DEFAULT_RETRY_MS = 1_000;

export function admit(state: IsolateState, operationClass: OperationClass, now: number): Admission {
  const seen = viewOf(state, operationClass, now);
  if (seen !== null) {
    if (!viewAdmits(seen, now, Math.random)) {
      return rejected(state, operationClass, (seen.openUntil ?? now + DEFAULT_RETRY_MS) - now);
    }
    // Forced open to all, or one of the service's own trials: what this isolate thinks does not count.
    if (seen.state !== "CLOSED") return UNASKED;
  }
  const circuit = state.circuits[operationClass];
  const verdict = acquire(circuit, now, Math.random);
  if (verdict.admitted) return { admitted: true, permit: verdict };
  return rejected(state, operationClass, retryAfterMs(circuit, now));
}

/** Whether `admit` may let a call through: asked before the shard is, without taking a permit. */
export function mayAdmit(state: IsolateState, operationClass: OperationClass, now: number): boolean {
  const seen = viewOf(state, operationClass, now);
  if (seen !== null && seen.state !== "CLOSED") return admitRatio(seen, now) > 0;
  return stateAt(state.circuits[operationClass], now) !== "OPEN";
}

/** As `mayAdmit`, where `admit` is not asked after a no: counts the call among the rejected ones. */
export function mayAdmitOrCount(state: IsolateState, operationClass: OperationClass, now: number): boolean {
  const isAdmitted = mayAdmit(state, operationClass, now);
  if (!isAdmitted) state.rejected[operationClass] += 1;
  return isAdmitted;
}

/**
 * Takes down what came of a call that was admitted. True: the service should be told soon, because it is the first
 * failure under this snapshot or because the isolate's own circuit has changed.
 */
export function ended(
  state: IsolateState,
  operationClass: OperationClass,
  permit: Permit | null,
  outcome: Outcome,
  latencyMs: number,
  now: number,
): boolean {
  count(state.reporter.counters, operationClass, outcome, latencyMs);
  const circuit = state.circuits[operationClass];
  const { generation } = circuit;
  if (permit !== null) record(circuit, permit, outcome, now, Math.random);
  const hasChanged = circuit.generation !== generation;
  if (hasChanged && circuit.state === "OPEN") {
    state.openedUnder[operationClass] = state.snapshot?.circuits[operationClass].generation ?? null;
  }
  if (state.snapshot === null || (outcome !== "failure" && !hasChanged)) return false;
  const { promptedAt } = state.reporter;
  prompt(state.reporter, hasChanged ? "state_change" : "failure", state.snapshot, now, Math.random);
  return state.reporter.promptedAt !== promptedAt;
}

function viewOf(state: IsolateState, operationClass: OperationClass, now: number): CircuitView | null {
  // Past the cap nobody has confirmed it for too long: the own circuit alone decides.
  return state.snapshot !== null && isTrusted(state, now) ? state.snapshot.circuits[operationClass] : null;
}

function rejected(state: IsolateState, operationClass: OperationClass, retryMs: number): Admission {
  state.rejected[operationClass] += 1;
  return { admitted: false, retryAfter: Math.max(1, Math.ceil(retryMs / 1_000)) };
}
