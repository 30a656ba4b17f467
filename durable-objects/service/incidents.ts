/** Incidents: from when a service was no longer well until it was healthy again, with what it cost. Pure. */
import type { ShardUsage } from "../../src/shared/protocol";
import type { IncidentRecord, ServiceStatus } from "../../src/shared/records";
import { isWell } from "./status";

export interface Incident {
  readonly id: string;
  readonly openedAt: number;
  readonly closedAt: number | null;
  readonly reason: string | null;
  /** The worst that was seen. */
  readonly status: ServiceStatus;
  readonly queueSize: number;
  readonly errorRate: number;
  /** Operations that the queue had accepted, and lost, before it. */
  readonly acceptedBefore: number;
  readonly lostBefore: number;
  readonly queued: number;
  readonly lost: number;
}

/** A service as it is now, as far as an incident is concerned. */
export interface Condition {
  readonly status: ServiceStatus;
  readonly reason: string | null;
  readonly queueSize: number;
  /** Percent. */
  readonly errorRate: number;
  readonly accepted: number;
  readonly lost: number;
}

/** What comes back within this is the same incident: an outage in waves is one. */
const SAME_INCIDENT_MS = 300_000;

const FROM_WORST: readonly ServiceStatus[] = ["OFFLINE", "DEGRADED", "RECOVERING", "HEALTHY"];

/** The incident after this condition; null: there is none. The same value when nothing changed. */
export function nextIncident(
  held: Incident | null,
  seen: Condition,
  now: number,
  newId: () => string,
): Incident | null {
  if (held === null || (held.closedAt !== null && now - held.closedAt > SAME_INCIDENT_MS)) {
    return isWell(seen.status) ? held : opened(seen, now, newId());
  }
  // A queue that fills for another reason is no incident.
  if (held.closedAt !== null && isWell(seen.status)) return held;
  const next: Incident = {
    ...held,
    closedAt: seen.status === "HEALTHY" ? now : null,
    reason: held.reason ?? seen.reason,
    status: FROM_WORST.find((status) => status === held.status || status === seen.status) ?? held.status,
    queueSize: Math.max(held.queueSize, seen.queueSize),
    errorRate: Math.max(held.errorRate, seen.errorRate),
    // What the object forgot when it ended comes back with the shards' next words.
    queued: Math.max(held.queued, seen.accepted - held.acceptedBefore),
    lost: Math.max(held.lost, seen.lost - held.lostBefore),
  };
  return JSON.stringify(next) === JSON.stringify(held) ? held : next;
}

function opened(seen: Condition, now: number, id: string): Incident {
  const { status, reason, queueSize, errorRate } = seen;
  const nothing = { acceptedBefore: seen.accepted, lostBefore: seen.lost, queued: 0, lost: 0 };
  return { id, openedAt: now, closedAt: null, reason, status, queueSize, errorRate, ...nothing };
}

/**
 * Operations that the shards have accepted since they were first used, and those of them that are nowhere any more: not
 * waiting, not parked, not ended, and not forgotten after their retention.
 */
export function account(usages: Iterable<ShardUsage>): { readonly accepted: number; readonly lost: number } {
  let accepted = 0;
  let lost = 0;
  for (const usage of usages) {
    // A shard of an older release does not count.
    if (usage.accepted === undefined || usage.swept === undefined) continue;
    const { pending, processing, failed, completed, cancelled, superseded } = usage;
    accepted += usage.accepted;
    lost += usage.accepted - usage.swept - pending - processing - failed - completed - cancelled - superseded;
  }
  return { accepted, lost };
}

export function incidentRecord(service: string, incident: Incident): IncidentRecord {
  return {
    incident_id: incident.id,
    service_name: service,
    opened_at: new Date(incident.openedAt).toISOString(),
    closed_at: incident.closedAt === null ? null : new Date(incident.closedAt).toISOString(),
    reason: incident.reason,
    peak: { status: incident.status, queue_size: incident.queueSize, error_rate: incident.errorRate },
    operations_queued: incident.queued,
    operations_lost: incident.lost,
  };
}
