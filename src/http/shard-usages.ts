import { queueStub } from "../bucket/stubs";
import type { WorkerEnv } from "../shared/env";
import type { ShardUsage } from "../shared/protocol";
import { askOrNull, shardsOf } from "./objects";

/** One shard's numbers; null when it did not answer. */
export interface AskedShard {
  readonly shard: number;
  readonly usage: ShardUsage | null;
}

/** Asks all shards of a service at once. Throws `SERVICE_UNAVAILABLE` when not even their number is known. */
export async function shardUsages(env: WorkerEnv, service: string): Promise<AskedShard[]> {
  const count = await shardsOf(env, service);
  return Promise.all(
    Array.from({ length: count }, async (_, shard) => ({
      shard,
      usage: await askOrNull("A part of the queue", () => queueStub(env, service, shard).usage()),
    })),
  );
}

const EMPTY: ShardUsage = {
  pending: 0,
  processing: 0,
  failed: 0,
  bytes: 0,
  oldestAt: null,
  completed: 0,
  cancelled: 0,
  superseded: 0,
};

export function sumUsage(usages: readonly ShardUsage[]): ShardUsage {
  return usages.reduce(
    (sum, usage) => ({
      pending: sum.pending + usage.pending,
      processing: sum.processing + usage.processing,
      failed: sum.failed + usage.failed,
      bytes: sum.bytes + usage.bytes,
      oldestAt: earlier(sum.oldestAt, usage.oldestAt),
      completed: sum.completed + usage.completed,
      cancelled: sum.cancelled + usage.cancelled,
      superseded: sum.superseded + usage.superseded,
    }),
    EMPTY,
  );
}

function earlier(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}
