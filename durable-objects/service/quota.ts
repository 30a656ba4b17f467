/** How `max_queue_size` and `max_queue_bytes` are shared out to the shards: in blocks, as they fill. Pure. */
import type { ShardQuota } from "../../src/shared/protocol";

const BLOCKS_PER_SHARD = 8;
/** What a limit of 0 operations means: bounded by bytes only. */
const UNBOUNDED_OPERATIONS = 1_000_000_000;

export interface QuotaRequest {
  /** What the service may hold in all. `operations` 0: no bound. */
  readonly limit: ShardQuota;
  readonly shardCount: number;
  /** What the asking shard holds already, wants, and uses. */
  readonly held: ShardQuota;
  readonly wanted: ShardQuota;
  readonly inUse: ShardQuota;
  /** The sum of what the other shards hold. */
  readonly others: ShardQuota;
}

/**
 * What the shard may hold from now on. The sum over all shards never exceeds the limit, except by what is in use
 * already when the limit is lowered. One spare block stays with the shard, so that a full queue does not ask at every write.
 */
export function grantQuota(request: QuotaRequest): ShardQuota {
  const { limit, shardCount, held, wanted, inUse, others } = request;
  const share = (of: "operations" | "bytes"): number =>
    shareOf(limit[of], shardCount, held[of], Math.max(wanted[of], inUse[of]), inUse[of], others[of]);
  return {
    operations: limit.operations === 0 ? UNBOUNDED_OPERATIONS : share("operations"),
    bytes: share("bytes"),
  };
}

function shareOf(limit: number, shards: number, held: number, needed: number, inUse: number, others: number): number {
  const block = Math.max(1, Math.floor(limit / (BLOCKS_PER_SHARD * shards)));
  const target = Math.ceil(needed / block) * block;
  const available = Math.max(0, limit - others);
  const kept = Math.min(held, target + block);
  return Math.max(Math.min(held, inUse), Math.min(Math.max(kept, target), available));
}
