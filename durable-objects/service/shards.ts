/** What a shard says of itself, taken in by a compare-and-set on its epoch. Pure. */
import { mergeShard } from "../../src/circuit/snapshot";
import type { CalmNotice, ShardNotice, ShardQuota } from "../../src/shared/protocol";
import { grantQuota } from "./quota";
import type { ShardRecord } from "./service-store";

const NO_QUOTA: ShardQuota = { operations: 0, bytes: 0 };

export interface Taken {
  readonly record: ShardRecord;
  /** A snapshot that was handed out before does not show all that is busy now, or not in this epoch. */
  readonly isWider: boolean;
}

/** A busy notice. Null: it is of an epoch that has passed, or has ended in calm. */
export function takeNotice(
  held: ShardRecord | undefined,
  notice: ShardNotice,
  limit: ShardQuota,
  shardCount: number,
  shards: Iterable<ShardRecord>,
): Taken | null {
  if (held !== undefined && (notice.epoch < held.epoch || (notice.epoch === held.epoch && held.busy === null))) {
    return null;
  }
  const { busy } = mergeShard(held, { shard: notice.shard, epoch: notice.epoch, busy: notice.busy });
  const { usage } = notice;
  const quota = grantQuota({
    limit,
    shardCount,
    held: held?.quota ?? NO_QUOTA,
    wanted: notice.wanted,
    inUse: { operations: usage.pending + usage.processing, bytes: usage.bytes },
    others: quotaOfOthers(shards, notice.shard),
  });
  const isSame = held?.epoch === notice.epoch && JSON.stringify(busy) === JSON.stringify(held.busy);
  return { record: { shard: notice.shard, epoch: notice.epoch, busy, usage, quota }, isWider: !isSame };
}

/**
 * A calm notice. Null: a newer busy notice wins. One of an epoch that was never heard of is taken: its busy notice, if
 * it still comes, is then of an epoch that has ended.
 */
export function takeCalm(held: ShardRecord | undefined, notice: CalmNotice): ShardRecord | null {
  if (held !== undefined && notice.epoch < held.epoch) return null;
  return { shard: notice.shard, epoch: notice.epoch, busy: null, usage: notice.usage, quota: NO_QUOTA };
}

function quotaOfOthers(shards: Iterable<ShardRecord>, shard: number): ShardQuota {
  let operations = 0;
  let bytes = 0;
  for (const other of shards) {
    if (other.shard === shard) continue;
    operations += other.quota.operations;
    bytes += other.quota.bytes;
  }
  return { operations, bytes };
}
