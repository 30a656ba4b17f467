/** The room of a shard: its part of the service's bounds, and what it holds or is taking in. */
import type { Refusal, ShardQuota } from "../../src/shared/protocol";
import { payloadTooLarge, queueFull } from "./refusals";
import type { Shard } from "./shard";

/** Seconds until another try makes sense: the queue empties at the pace of R2's recovery. */
const RETRY_AFTER_S = 30;

/**
 * What is not in rows yet. In memory only: what a dead incarnation was receiving is given up by the next one. Without
 * it, writes that come in together would all be let into the room that is left for one.
 */
export class Room {
  /** Let in, and being received. */
  readonly receiving = { operations: 0, bytes: 0 };
  /** Waiting for the ServiceDO to give more room. */
  readonly waiting = { operations: 0, bytes: 0 };
}

/** Room that is held for one write until its rows count, or until it is given up. */
export interface Admission {
  /** Room for a payload that grows to so many bytes. False: there is none. */
  grow(bytes: number): Promise<boolean>;
  /** May be called twice. */
  close(): void;
}

/** Lets one write of so many bytes in, or answers null. `keyHash`: for what the shard becomes busy. */
export async function admit(shard: Shard, keyHash: number, bytes: number): Promise<Admission | null> {
  await askForRoom(shard, [keyHash], 1, bytes);
  if (!fits(shard, 1, bytes)) return null;
  const { receiving } = shard.room;
  let held = bytes;
  let isOpen = true;
  receiving.operations += 1;
  receiving.bytes += bytes;
  return {
    grow: async (size) => {
      if (size <= held) return true;
      await askForRoom(shard, [keyHash], 0, size - held);
      if (!fits(shard, 0, size - held)) return false;
      receiving.bytes += size - held;
      held = size;
      return true;
    },
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      receiving.operations -= 1;
      receiving.bytes -= held;
    },
  };
}

/** Asks the ServiceDO for more when so much does not fit. Never throws; whether it fits now is for `fits` to say. */
export async function askForRoom(
  shard: Shard,
  keyHashes: readonly number[],
  operations: number,
  bytes: number,
): Promise<void> {
  if (fits(shard, operations, bytes)) return;
  const { waiting } = shard.room;
  for (const keyHash of keyHashes) shard.link.widen(keyHash);
  shard.changed();
  waiting.operations += operations;
  waiting.bytes += bytes;
  try {
    await shard.link.reserve(() => wanted(shard));
  } finally {
    waiting.operations -= operations;
    waiting.bytes -= bytes;
  }
}

/** Whether so much more fits into what the shard may hold now. */
export function fits(shard: Shard, operations: number, bytes: number): boolean {
  const { quota } = shard.link;
  const now = held(shard);
  return now.operations + operations <= quota.operations && now.bytes + bytes <= quota.bytes;
}

/** Why so much cannot be held. */
export function roomProblem(shard: Shard, bytes: number): Refusal {
  const { max_queue_bytes } = shard.link.config.queue;
  return bytes > max_queue_bytes ? payloadTooLarge(max_queue_bytes) : queueFull(RETRY_AFTER_S);
}

function held(shard: Shard): ShardQuota {
  const { store, uploads, room } = shard;
  return {
    operations: store.held.operations + uploads.held.operations + room.receiving.operations,
    bytes: store.held.bytes + uploads.held.bytes + room.receiving.bytes,
  };
}

function wanted(shard: Shard): ShardQuota {
  const now = held(shard);
  const { waiting } = shard.room;
  return { operations: now.operations + waiting.operations, bytes: now.bytes + waiting.bytes };
}
