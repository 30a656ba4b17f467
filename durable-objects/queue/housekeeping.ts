/** What a shard does beside draining: calls that have run out, retention, payloads to free, messages, calm. */
import { hashKey, UPLOADS_HASH } from "../../src/shared/keys";
import { MAX_LISTED_KEYS } from "./busy-epoch";
import { sweepUploads } from "./end-upload";
import { settleKey } from "./order";
import type { Shard } from "./shard";

const DAY_MS = 86_400_000;
const SWEEP_LIMIT = 500;
/**
 * What was written lately is remembered beyond its operation: by two clocks that differ a little, it could otherwise
 * pass for a direct write that is newer than what is queued next.
 */
const LEDGER_KEPT_MS = 60_000;

export function retentionMs(shard: Shard): number {
  return shard.link.config.queue.retention_days * DAY_MS;
}

/** Nothing is held, received, or feared: the shard may be called calm. */
export function isEmpty(shard: Shard): boolean {
  const { store, calls, room } = shard;
  return store.live === 0 && calls.blocking === 0 && room.receiving.operations === 0 && !holdsUploads(shard);
}

/** Uploads that nobody has completed yet hold room: their shard must not give it back. */
function holdsUploads({ uploads }: Shard): boolean {
  return uploads.held.operations > 0 || uploads.held.bytes > 0;
}

export function housekeep(shard: Shard, now: number): void {
  const { store, calls, payloads, pins } = shard;
  for (const key of calls.expire(now)) settleKey(shard, key, now);
  store.sweepFinal(now - retentionMs(shard), SWEEP_LIMIT);
  calls.sweepLedger(now - LEDGER_KEPT_MS);
  sweepUploads(shard, now);
  payloads.freeSlice((id) => pins.isPinned(id));
  narrowBusy(shard);
}

/** Tells the ServiceDO what it does not know yet. Never throws: what is not told now is told later. */
export async function sendMessages(shard: Shard, now: number): Promise<void> {
  await shard.link.flush(now);
  if (isEmpty(shard)) await shard.link.becomeCalm();
}

/** A shard that was busy as a whole, and now holds a few parked operations, slows only their keys. */
function narrowBusy(shard: Shard): void {
  const { store, calls, link } = shard;
  if (!link.isBusy || store.held.operations > 0 || shard.room.receiving.operations > 0) return;
  const keys = new Set([...store.liveKeys(MAX_LISTED_KEYS + 1), ...calls.keys(MAX_LISTED_KEYS + 1)]);
  const held = [...[...keys].map(hashKey), ...(holdsUploads(shard) ? [UPLOADS_HASH] : [])];
  link.narrow(held.length > MAX_LISTED_KEYS ? null : held);
}
