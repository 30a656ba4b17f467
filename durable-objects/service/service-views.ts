/** The forms in which others see a service: snapshot, drain terms, record, status. Pure. */
import { admitRatio, view } from "../../src/circuit/circuit";
import {
  type CircuitView,
  type DrainTerms,
  OPERATION_CLASSES,
  type OperationClass,
  type ShardUsage,
  type Snapshot,
} from "../../src/shared/protocol";
import type { CircuitRecord, HealthMetrics, ServiceRecord, ServiceStatus } from "../../src/shared/records";
import type { ServiceState } from "./service-state";
import { deriveStatus, isRejecting, worseState } from "./status";

export function circuitViews(state: ServiceState, now: number): Record<OperationClass, CircuitView> {
  return { read: view(state.circuits.read, now), write: view(state.circuits.write, now) };
}

export function drainTerms(state: ServiceState, now: number): DrainTerms {
  return {
    storageId: state.storageId,
    version: state.version,
    shardCount: state.shardCount,
    circuits: circuitViews(state, now),
    paused: state.paused,
    config: state.config,
    faults: state.faults,
    clockOffsetMs: state.clockOffsetMs,
    lastWriteSuccessAt: state.lastWriteSuccessAt,
  };
}

/** Outcomes that an isolate may hold: at most 1,000 calls a second, else its lease runs out first. */
const REPORT_AFTER_OUTCOMES = 10_000;

export function snapshot(state: ServiceState, leaseMs: number, activeIsolates: number, now: number): Snapshot {
  return {
    service: state.name,
    storageId: state.storageId,
    version: state.version,
    issuedAt: now,
    leaseMs,
    reportAfterOutcomes: REPORT_AFTER_OUTCOMES,
    activeIsolates: Math.max(1, activeIsolates),
    circuits: circuitViews(state, now),
    readOnly: state.byHand.readOnly.on,
    shardCount: state.shardCount,
    shards: [...state.shards.values()].map(({ shard, epoch, busy }) => ({ shard, epoch, busy })),
    config: state.config,
    faults: state.faults,
    clockOffsetMs: state.clockOffsetMs,
  };
}

export function totalUsage(state: ServiceState): ShardUsage {
  const total = { pending: 0, processing: 0, failed: 0, bytes: 0, completed: 0, cancelled: 0, superseded: 0 };
  let oldestAt: number | null = null;
  for (const { usage } of state.shards.values()) {
    for (const count of Object.keys(total) as (keyof typeof total)[]) total[count] += usage[count];
    if (usage.oldestAt !== null) oldestAt = Math.min(oldestAt ?? usage.oldestAt, usage.oldestAt);
  }
  return { ...total, oldestAt };
}

/** Whether a write would be refused: switched so, or to be queued while the queue is full. */
function isReadOnly(state: ServiceState, write: CircuitView, usage: ShardUsage): boolean {
  if (state.byHand.readOnly.on) return true;
  const { max_queue_size: size, max_queue_bytes: bytes } = state.config.queue;
  const isFull = (size > 0 && usage.pending + usage.processing >= size) || usage.bytes >= bytes;
  return isRejecting(write.state) && isFull;
}

export function statusNow(state: ServiceState, now: number): ServiceStatus {
  const { read, write } = circuitViews(state, now);
  const usage = totalUsage(state);
  return deriveStatus({
    read: read.state,
    write: write.state,
    readOnly: isReadOnly(state, write, usage),
    pending: usage.pending + usage.processing,
  });
}

/** Short leases while something is going on: a circuit that rejects or ramps up, or operations that are queued. */
export function isIncident(state: ServiceState, now: number): boolean {
  const isUneasy = (seen: CircuitView) => isRejecting(seen.state) || seen.ramp !== null;
  const views = circuitViews(state, now);
  return OPERATION_CLASSES.some((c) => isUneasy(views[c])) || [...state.shards.values()].some((s) => s.busy !== null);
}

export function serviceRecord(state: ServiceState, metrics: HealthMetrics, now: number): ServiceRecord {
  const views = circuitViews(state, now);
  return {
    service_name: state.name,
    status: statusNow(state, now),
    circuit_breaker_state: worseState(views.read.state, views.write.state),
    circuits: { read: circuitRecord(views.read, now), write: circuitRecord(views.write, now) },
    health_metrics: metrics,
    degradation_reason: state.reason,
    read_only: isReadOnly(state, views.write, totalUsage(state)),
    updated_at: new Date(state.updatedAt).toISOString(),
  };
}

function circuitRecord(seen: CircuitView, now: number): CircuitRecord {
  return {
    state: seen.state,
    admit: admitRatio(seen, now),
    open_until: seen.openUntil === null ? null : new Date(seen.openUntil).toISOString(),
  };
}

/** What a snapshot's or a grant's version stands for: everything in it but the version and the time. */
export function visiblePart(state: ServiceState, now: number): { readonly terms: string; readonly rest: string } {
  const { read, write } = circuitViews(state, now);
  const circuits = [read, write].map((seen) => [seen.state, seen.generation, seen.openUntil, seen.ramp]);
  return {
    terms: JSON.stringify([circuits, state.paused, state.config, state.faults]),
    rest: JSON.stringify([
      state.byHand.readOnly.on,
      state.clockOffsetMs,
      [...state.shards.values()].map(({ shard, epoch, busy }) => [shard, epoch, busy]),
    ]),
  };
}
