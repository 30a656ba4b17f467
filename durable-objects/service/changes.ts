/** What changed from one moment to the next, as events. Pure. */
import { type CircuitState, OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import type { EventRecord, EventType, ServiceStatus } from "../../src/shared/records";
import type { NewEvent } from "./service-store";
import { isRejecting, isWell } from "./status";

/** What was last recorded of a service. */
export interface Seen {
  readonly circuits: Readonly<Record<OperationClass, { readonly state: CircuitState; readonly openUntil: number }>>;
  readonly status: ServiceStatus;
}

type Severity = EventRecord["severity"];

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

/** What happens to a service itself; its shards tell of the rest. */
const CATEGORY = {
  SERVICE_STATUS_CHANGED: "STATUS",
  CIRCUIT_STATE_CHANGED: "CIRCUIT",
  PROBE_FAILED: "CIRCUIT",
  MODE_CHANGED: "ACTION",
  FAULTS_CHANGED: "FAULT",
  CONFIG_CHANGED: "CONFIG",
  QUEUE_PAUSED: "QUEUE",
  QUEUE_RESUMED: "QUEUE",
  SHARD_BUSY: "QUEUE",
  SHARD_CALM: "QUEUE",
} as const satisfies Partial<Record<EventType, EventRecord["event_category"]>>;

/** A new event with an id of its own. */
export function newEvent(
  type: keyof typeof CATEGORY,
  severity: Severity,
  data: Record<string, unknown>,
  now: number,
): NewEvent {
  return {
    id: crypto.randomUUID(),
    event_type: type,
    event_category: CATEGORY[type],
    severity,
    event_data: data,
    created_at: new Date(now).toISOString(),
  };
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
