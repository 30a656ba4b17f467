/** The shard's calls to R2: each with a deadline, counted, and told to the circuits. */
import { classifyR2Error, R2TimeoutError } from "../../src/bucket/r2-errors";
import { FENCE_MARGIN_MS } from "../../src/shared/fence";
import type { OperationClass } from "../../src/shared/protocol";
import { within } from "../../src/shared/within";
import type { OperationRow } from "./operation-row";
import type { Shard } from "./shard";

const BYTES_PER_MS = 1_024;

/** The deadline of a write: what the config says, and time for the bytes at about 1 MiB/s. */
export function writeDeadlineMs(shard: Shard, size: number): number {
  return shard.link.config.service.write_timeout_ms + Math.ceil(size / BYTES_PER_MS);
}

/** How long what R2 cannot fence waits for its busy notice to be confirmed before it is looked at again. */
const UNCONFIRMED_MS = 1_000;

/**
 * From when on what R2 cannot fence (a delete, a completion) may be applied: when every isolate asks before it writes,
 * because the leases from before the busy notice have run out, and the calls that were made under them.
 */
export function unfencedFrom(shard: Shard, row: OperationRow, now: number): number {
  const from = shard.link.writersAskFrom(row.needs_epoch);
  return from === null ? now + UNCONFIRMED_MS : from + writeDeadlineMs(shard, 0) + FENCE_MARGIN_MS;
}

/** `isRepeated`: the operation has failed before, and is no new evidence when it fails again. */
export async function callR2<T>(
  shard: Shard,
  operationClass: OperationClass,
  method: string,
  deadlineMs: number,
  isRepeated: boolean,
  call: () => Promise<T>,
): Promise<T> {
  const startedAt = Date.now();
  try {
    const answer = await within(call(), deadlineMs, () => new R2TimeoutError(method, deadlineMs));
    shard.link.record(operationClass, "success", Date.now() - startedAt, isRepeated);
    return answer;
  } catch (error) {
    const { outcome } = classifyR2Error(error);
    shard.link.record(operationClass, outcome === "caller" ? "ignored" : outcome, Date.now() - startedAt, isRepeated);
    throw error;
  }
}

export function headObject(shard: Shard, key: string, isRepeated = false): Promise<R2Object | null> {
  const { read_timeout_ms } = shard.link.config.service;
  return callR2(shard, "read", "head", read_timeout_ms, isRepeated, () => shard.bucket.head(key));
}
