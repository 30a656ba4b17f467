/**
 * What one isolate keeps of a service, in memory, across requests: plain data and no I/O objects, which would belong to
 * one request. Decisions on it are pure; `isolate-service.ts` keeps it fresh.
 */
import { type Circuit, closeFromOutside, configure, createCircuit } from "../circuit/circuit";
import { createReporter, type Reporter } from "../circuit/reporter";
import { circuitSettings } from "../circuit/settings";
import { isKeyBusy, isNewer, mergeShard } from "../circuit/snapshot";
import { DEFAULT_CONFIG, type ServiceConfig } from "../shared/config";
import { hashKey, shardOf } from "../shared/keys";
import {
  type BucketMethod,
  type CircuitView,
  type FailoverCounts,
  NO_FAILOVERS,
  OPERATION_CLASSES,
  type OperationClass,
  type ShardView,
  type Snapshot,
} from "../shared/protocol";
import { type CacheMemory, createCacheMemory } from "./cache-memory";
import type { OwnWrites } from "./own-writes";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface IsolateState {
  readonly service: string;
  /** Random per isolate. Null until the first report: a bucket may be made in global scope, where nothing is random. */
  id: string | null;
  readonly reporter: Reporter;
  snapshot: Snapshot | null;
  /** The snapshot's shards, merged with what shards have told this isolate themselves: it reads its own writes. */
  readonly shards: Map<number, ShardView>;
  /** Whether any shard is busy. In calm no key needs hashing. */
  hasBusyShard: boolean;
  readonly circuits: Readonly<Record<OperationClass, Circuit>>;
  /** The service-wide generation under which an own circuit opened; null: there was no snapshot. */
  readonly openedUnder: Record<OperationClass, number | null>;
  bucketCalls: Partial<Record<BucketMethod, number>>;
  rejected: Record<OperationClass, number>;
  failovers: Mutable<FailoverCounts>;
  /** Keys with a write that may yet land and of which no shard could be told, each with the end of its fence. */
  readonly quarantined: Map<string, number>;
  /** A shard has not answered a read: until then no bounded read waits for another one. */
  queueDownUntil: number;
  readonly ownWrites: OwnWrites;
  readonly cacheMemory: CacheMemory;
  /** From shard 0, while there is no snapshot. */
  layoutShards: number | null;
}

export function createIsolateState(service: string): IsolateState {
  const settings = circuitSettings(DEFAULT_CONFIG.service, "isolate");
  return {
    service,
    id: null,
    reporter: createReporter(),
    snapshot: null,
    shards: new Map(),
    hasBusyShard: false,
    circuits: { read: createCircuit(settings), write: createCircuit(settings) },
    openedUnder: { read: null, write: null },
    bucketCalls: {},
    rejected: { read: 0, write: 0 },
    failovers: { ...NO_FAILOVERS },
    quarantined: new Map(),
    ownWrites: new Map(),
    cacheMemory: createCacheMemory(),
    queueDownUntil: 0,
    layoutShards: null,
  };
}

export function configOf(state: IsolateState): ServiceConfig {
  return (state.snapshot?.config ?? DEFAULT_CONFIG).service;
}

/** Within the lease cap. A snapshot is acted upon up to here and no further: the drain counts on it. */
export function isTrusted(state: IsolateState, now: number): boolean {
  return state.snapshot !== null && now < state.reporter.leasedAt + state.snapshot.config.service.lease_cap_ms;
}

/** Takes a snapshot in, unless the one held is newer. Its lease is the reporter's affair. */
export function takeSnapshot(state: IsolateState, offered: Snapshot, now: number): void {
  const held = state.snapshot;
  if (!isNewer(held, offered)) return;
  state.snapshot = offered;
  for (const view of offered.shards) takeShard(state, view);
  for (const operationClass of OPERATION_CLASSES) {
    configure(state.circuits[operationClass], circuitSettings(offered.config.service, "isolate"));
    // Generations of another storage cannot be compared.
    if (held !== null && held.storageId !== offered.storageId) state.openedUnder[operationClass] = null;
    follow(state, operationClass, offered.circuits[operationClass], now);
  }
}

/** The service-wide circuit has opened and closed again since the own one opened: it knows more. */
function follow(state: IsolateState, operationClass: OperationClass, seen: CircuitView, now: number): void {
  const openedUnder = state.openedUnder[operationClass];
  if (openedUnder === null) state.openedUnder[operationClass] = seen.generation;
  else if (seen.state === "CLOSED" && seen.generation > openedUnder) {
    closeFromOutside(state.circuits[operationClass], now);
  }
}

export function takeShard(state: IsolateState, view: ShardView): void {
  state.shards.set(view.shard, mergeShard(state.shards.get(view.shard), view));
  state.hasBusyShard = false;
  for (const { busy } of state.shards.values()) if (busy !== null) state.hasBusyShard = true;
}

/** Whether the queue may hold something for the key, as far as this isolate knows. */
export function isBusy(state: IsolateState, key: string): boolean {
  if (!state.hasBusyShard) return false;
  const shards = knownShards(state);
  return shards !== null && isKeyBusy(state.shards.get(shardOf(key, shards)), hashKey(key));
}

/** The number of the service's shards, if anybody has told it yet. */
export function knownShards(state: IsolateState): number | null {
  return state.snapshot?.shardCount ?? state.layoutShards;
}

/** Keeps direct writes off a key until `until`, when nothing that was given up can land any more. */
export function quarantine(state: IsolateState, key: string, until: number, now: number): void {
  for (const [held, end] of state.quarantined) if (end <= now) state.quarantined.delete(held);
  state.quarantined.set(key, Math.max(until, state.quarantined.get(key) ?? 0));
}

export function isQuarantined(state: IsolateState, key: string, now: number): boolean {
  if (state.quarantined.size === 0) return false;
  return now < (state.quarantined.get(key) ?? 0);
}
