/** What one service is, in memory, and the row that it is stored as. Pure. */
import { type Circuit, createCircuit, restore, serialise, view } from "../../src/circuit/circuit";
import { type CircuitSettings, circuitSettings } from "../../src/circuit/settings";
import { type EffectiveConfig, QUEUE_CONFIG, SERVICE_CONFIG } from "../../src/shared/config";
import type { FaultRule, OperationClass } from "../../src/shared/protocol";
import type { HealthMetrics, ServiceMode, ServiceStatus } from "../../src/shared/records";
import type { QueueFill } from "./queue-fill";
import type { ShardRecord, StatusRow } from "./service-store";
import { worseState } from "./status";

/** What was set by hand, and until when. Null: until it is set otherwise. */
export interface ByHand {
  readonly modes: Readonly<Record<OperationClass, { readonly mode: ServiceMode; readonly until: number | null }>>;
  readonly readOnly: { readonly on: boolean; readonly until: number | null };
}

export const NOTHING_BY_HAND: ByHand = {
  modes: { read: { mode: "auto", until: null }, write: { mode: "auto", until: null } },
  readOnly: { on: false, until: null },
};

export interface ServiceState {
  readonly name: string;
  readonly storageId: string;
  /** Fixed at first use. */
  readonly shardCount: number;
  /** Whether there is something to probe. */
  readonly hasProbe: boolean;
  /** Whether it is probed by itself, not only when somebody asks. */
  isMonitored: boolean;
  readonly createdAt: number;
  version: number;
  readonly circuits: Readonly<Record<OperationClass, Circuit>>;
  byHand: ByHand;
  /** Why it is not healthy: given by hand, or what confirmed that a circuit opens. */
  reason: string | null;
  paused: boolean;
  config: EffectiveConfig;
  faults: readonly FaultRule[];
  clockOffsetMs: number;
  queueFill: QueueFill;
  readonly shards: Map<number, ShardRecord>;
  status: ServiceStatus;
  lastWriteSuccessAt: number | null;
  lastCheckAt: number | null;
  updatedAt: number;
}

/** Without probes of its own, a small share of the callers are a service's trials. */
export function probesItself({ hasProbe, isMonitored }: Pick<ServiceState, "hasProbe" | "isMonitored">): boolean {
  return hasProbe && isMonitored;
}

export function settingsOf(
  config: EffectiveConfig,
  service: Pick<ServiceState, "hasProbe" | "isMonitored">,
): CircuitSettings {
  return circuitSettings(config.service, "service", probesItself(service) ? "probes" : "ratio");
}

export function newService(name: string, config: EffectiveConfig, hasProbe: boolean, now: number): ServiceState {
  const settings = settingsOf(config, { hasProbe, isMonitored: true });
  return {
    name,
    storageId: crypto.randomUUID(),
    shardCount: config.queue.shards,
    hasProbe,
    isMonitored: true,
    createdAt: now,
    version: 1,
    circuits: { read: createCircuit(settings), write: createCircuit(settings) },
    byHand: NOTHING_BY_HAND,
    reason: null,
    paused: false,
    config,
    faults: [],
    clockOffsetMs: 0,
    queueFill: "empty",
    shards: new Map(),
    status: "HEALTHY",
    lastWriteSuccessAt: null,
    lastCheckAt: null,
    updatedAt: now,
  };
}

export function storedService(
  row: StatusRow,
  shards: readonly ShardRecord[],
  faults: readonly FaultRule[],
  hasProbe: boolean,
): ServiceState {
  const config = completeConfig(JSON.parse(row.config) as Partial<EffectiveConfig>);
  const isMonitored = row.monitored === 1;
  const settings = settingsOf(config, { hasProbe, isMonitored });
  return {
    name: row.service_name,
    storageId: row.storage_id,
    shardCount: row.shard_count,
    hasProbe,
    isMonitored,
    createdAt: row.created_at,
    version: row.version,
    circuits: { read: restore(row.read_circuit, settings), write: restore(row.write_circuit, settings) },
    byHand: JSON.parse(row.by_hand) as ByHand,
    reason: row.degradation_reason,
    paused: row.paused === 1,
    config,
    faults,
    clockOffsetMs: row.clock_offset_ms,
    queueFill: row.queue_fill as QueueFill,
    shards: new Map(shards.map((shard) => [shard.shard, shard])),
    status: row.status as ServiceStatus,
    lastWriteSuccessAt: row.last_write_success_at,
    lastCheckAt: row.last_check_at,
    updatedAt: row.updated_at,
  };
}

export function statusRow(state: ServiceState, metrics: HealthMetrics, trustedUntil: number, now: number): StatusRow {
  const { read, write } = state.circuits;
  return {
    service_name: state.name,
    status: state.status,
    circuit_breaker_state: worseState(view(read, now).state, view(write, now).state),
    health_metrics: JSON.stringify(metrics),
    degradation_reason: state.reason,
    storage_id: state.storageId,
    version: state.version,
    shard_count: state.shardCount,
    read_circuit: serialise(read),
    write_circuit: serialise(write),
    by_hand: JSON.stringify(state.byHand),
    paused: state.paused ? 1 : 0,
    monitored: state.isMonitored ? 1 : 0,
    config: JSON.stringify(state.config),
    clock_offset_ms: state.clockOffsetMs,
    queue_fill: state.queueFill,
    trusted_until: trustedUntil,
    last_write_success_at: state.lastWriteSuccessAt,
    last_check_at: state.lastCheckAt,
    created_at: state.createdAt,
    updated_at: state.updatedAt,
  };
}

/** A config of an older or a newer release: keys that are missing have their defaults. */
export function completeConfig(config: Partial<EffectiveConfig>): EffectiveConfig {
  return { service: completed(SERVICE_CONFIG, config.service), queue: completed(QUEUE_CONFIG, config.queue) };
}

function completed<K extends string>(
  rules: Readonly<Record<K, { readonly default: number }>>,
  values: Partial<Record<K, number>> | undefined,
): Record<K, number> {
  const keys = Object.keys(rules) as K[];
  return Object.fromEntries(keys.map((key) => [key, values?.[key] ?? rules[key].default])) as Record<K, number>;
}

/** What differs between two configs: key → both values. */
export function changedKeys(
  from: EffectiveConfig,
  to: EffectiveConfig,
): Record<string, { readonly from: number; readonly to: number }> {
  const before: Readonly<Record<string, number>> = { ...from.service, ...from.queue };
  const after = Object.entries({ ...to.service, ...to.queue });
  return Object.fromEntries(
    after.flatMap(([key, value]) => {
      const old = before[key];
      return old === undefined || old === value ? [] : [[key, { from: old, to: value }]];
    }),
  );
}
