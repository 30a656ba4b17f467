/** The status of a service, derived from its circuits (API.md, "Status"). Pure. */
import type { CircuitState } from "../../src/shared/protocol";
import type { ServiceStatus } from "../../src/shared/records";

export interface StatusInput {
  readonly read: CircuitState;
  readonly write: CircuitState;
  readonly readOnly: boolean;
  /** Operations that are queued and not final, parked ones left out. */
  readonly pending: number;
}

/** Worst first. */
const SEVERITY: readonly CircuitState[] = [
  "FORCED_OPEN",
  "OPEN",
  "HALF_OPEN",
  "METRICS_ONLY",
  "FORCED_CLOSED",
  "CLOSED",
];

/** HALF_OPEN rejects every caller, so it counts as open: else the status would flap at each trial. */
export function isRejecting(state: CircuitState): boolean {
  return state === "OPEN" || state === "HALF_OPEN" || state === "FORCED_OPEN";
}

export function deriveStatus({ read, write, readOnly, pending }: StatusInput): ServiceStatus {
  const rejecting = [read, write].filter(isRejecting).length;
  if (rejecting === 2) return "OFFLINE";
  if (rejecting === 1 || readOnly) return "DEGRADED";
  return pending > 0 ? "RECOVERING" : "HEALTHY";
}

/** Nothing is refused, though operations may still wait. */
export function isWell(status: ServiceStatus): boolean {
  return status === "HEALTHY" || status === "RECOVERING";
}

export function worseState(a: CircuitState, b: CircuitState): CircuitState {
  return SEVERITY.indexOf(a) <= SEVERITY.indexOf(b) ? a : b;
}
