import type { Refusal, ShardQuota } from "../../src/shared/protocol";
import { payloadTooLarge, queueFull } from "./refusals";
import type { Shard } from "./shard";

/** Seconds until another try makes sense: the queue empties at the pace of R2's recovery. */
const RETRY_AFTER_S = 30;

function held(shard: Shard): ShardQuota {
  const { store, payloads } = shard;
  return {
    operations: store.held.operations + payloads.receiving.operations,
    bytes: store.held.bytes + payloads.receiving.bytes,
  };
}

/** Whether so much more fits into what the shard may hold now. */
export function fits(shard: Shard, operations: number, bytes: number): boolean {
  const { quota } = shard.link;
  const now = held(shard);
  return now.operations + operations <= quota.operations && now.bytes + bytes <= quota.bytes;
}

/** What the shard must ask for to hold so much more. */
export function wantedQuota(shard: Shard, operations: number, bytes: number): ShardQuota {
  const now = held(shard);
  return { operations: now.operations + operations, bytes: now.bytes + bytes };
}

/** Why so much more cannot be held. */
export function roomProblem(shard: Shard, bytes: number): Refusal {
  const { max_queue_bytes } = shard.link.config.queue;
  return bytes > max_queue_bytes ? payloadTooLarge(max_queue_bytes) : queueFull(RETRY_AFTER_S);
}
