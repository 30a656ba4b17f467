import type { ServiceConfig } from "../shared/config";
import type { ShardView, Snapshot } from "../shared/protocol";

export const CALM_LEASE_MS = 5_000;
const INCIDENT_LEASE_MS = 1_000;

/** Key hashes that one merged view lists at most; beyond, it says "all". */
const MAX_LISTED_KEYS = 256;

/** Whether a snapshot takes the place of the one held. Replies overtake each other, and a snapshot never goes back. */
export function isNewer(held: Snapshot | null, offered: Snapshot): boolean {
  if (held === null) return true;
  if (held.storageId === offered.storageId) return offered.version > held.version;
  return offered.issuedAt > held.issuedAt;
}

/**
 * The later of two views of a shard: of the higher epoch; at the same epoch calm, since an epoch ends in calm; and both
 * busy with all keys of either, so that no busy key gets lost.
 */
export function mergeShard(held: ShardView | undefined, offered: ShardView): ShardView {
  if (held === undefined || offered.epoch > held.epoch) return offered;
  if (offered.epoch < held.epoch || held.busy === null) return held;
  if (offered.busy === null || offered.busy === "all") return offered;
  if (held.busy === "all") return held;
  const known = new Set(held.busy);
  const added = offered.busy.filter((keyHash) => !known.has(keyHash));
  if (added.length === 0) return held;
  return { ...held, busy: known.size + added.length > MAX_LISTED_KEYS ? "all" : [...known, ...added] };
}

/** Whether the shard may hold something for the key. A shard that is not known is calm. */
export function isKeyBusy(view: ShardView | undefined, keyHash: number): boolean {
  if (view === undefined || view.busy === null) return false;
  return view.busy === "all" || view.busy.includes(keyHash);
}

/** How long a snapshot is good for: so long that all isolates together stay within the budget, but never beyond the cap. */
export function leaseMs(activeIsolates: number, incident: boolean, config: ServiceConfig): number {
  const floorMs = incident ? INCIDENT_LEASE_MS : CALM_LEASE_MS;
  const withinBudgetMs = Math.ceil((activeIsolates * 1_000) / config.report_budget_per_s);
  return Math.min(Math.max(floorMs, withinBudgetMs), config.lease_cap_ms);
}
