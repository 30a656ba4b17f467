/** What changed from one moment to the next, as events. Pure. */
import { type CircuitState, OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import { type EventType, recordedEvent, type ServiceStatus, type Severity } from "../../src/shared/records";
import type { NewEvent } from "./service-store";
import { isRejecting, isWell } from "./status";

/** What was last recorded of a service. */
export interface Seen {
  readonly circuits: Readonly<Record<OperationClass, { readonly state: CircuitState; readonly openUntil: number }>>;
  readonly status: ServiceStatus;
}

const CIRCUIT_SEVERITY: Readonly<Record<CircuitState, Severity>> = {
  CLOSED: "INFO",
  HALF_OPEN: "INFO",
  METRICS_ONLY: "INFO",
  FORCED_CLOSED: "WARNING",
  FORCED_OPEN: "WARNING",
  OPEN: "ERROR",
};

const STATUS_SEVERITY: Readonly<Record<ServiceStatus, Severity>> = {
  HEALTHY: "INFO",
  RECOVERING: "INFO",
  DEGRADED: "WARNING",
  OFFLINE: "CRITICAL",
};

/** A new event with an id of its own. */
export function newEvent(type: EventType, severity: Severity, data: Record<string, unknown>, now: number): NewEvent {
  return { ...recordedEvent(type, severity, data, now), id: crypto.randomUUID() };
}

/** The classes whose circuit changed its state. */
export function changedCircuits(before: Seen, after: Seen): OperationClass[] {
  return OPERATION_CLASSES.filter((c) => before.circuits[c].state !== after.circuits[c].state);
}

export function changeEvents(before: Seen, after: Seen, reason: string | null, now: number): NewEvent[] {
  const events = changedCircuits(before, after).map((operationClass) => {
    const from = before.circuits[operationClass].state;
    const { state: to, openUntil } = after.circuits[operationClass];
    const data = {
      circuit: operationClass,
      from,
      to,
      open_until: to === "OPEN" ? openUntil : null,
      reason: isRejecting(to) ? reason : null,
    };
    return newEvent("CIRCUIT_STATE_CHANGED", CIRCUIT_SEVERITY[to], data, now);
  });
  if (before.status !== after.status) {
    const data = { from: before.status, to: after.status, reason: isWell(after.status) ? null : reason };
    events.push(newEvent("SERVICE_STATUS_CHANGED", STATUS_SEVERITY[after.status], data, now));
  }
  return events;
}
