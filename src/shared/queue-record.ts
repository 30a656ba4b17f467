/** The state of a queue in one record. Pure. */
import type { ShardUsage } from "./protocol";
import type { QueueRecord } from "./records";
import type { QueueEstimates } from "./rpc";

const UNKNOWN: QueueEstimates = { drainedInMs: null, fullInMs: null };

/** `estimates`: of all the usages together. */
export function queueRecord(
  usages: readonly ShardUsage[],
  now: number,
  estimates: QueueEstimates = UNKNOWN,
): QueueRecord {
  const sum = (field: "pending" | "processing" | "failed" | "bytes") =>
    usages.reduce((total, usage) => total + usage[field], 0);
  const times = usages.flatMap(({ oldestAt }) => (oldestAt === null ? [] : [oldestAt]));
  const pending = sum("pending");
  const processing = sum("processing");
  return {
    total_size: pending + processing,
    pending,
    processing,
    failed: sum("failed"),
    bytes: sum("bytes"),
    oldest_age_ms: times.length === 0 ? null : Math.max(0, now - Math.min(...times)),
    // Nothing waits: that is known without a look at how it came about.
    drained_in_ms: pending + processing === 0 ? 0 : estimates.drainedInMs,
    full_in_ms: estimates.fullInMs,
  };
}

/** Of several queues together: all are drained when the last of them is, and one is full when the first is. */
export function combinedEstimates(estimates: readonly QueueEstimates[]): QueueEstimates {
  const drained = estimates.map(({ drainedInMs }) => drainedInMs);
  const full = estimates.flatMap(({ fullInMs }) => fullInMs ?? []);
  return {
    drainedInMs: drained.includes(null) ? null : Math.max(0, ...drained.flatMap((ms) => ms ?? [])),
    fullInMs: full.length === 0 ? null : Math.min(...full),
  };
}

/** Several queues as one. */
export function sumQueues(queues: readonly QueueRecord[]): QueueRecord {
  const sum = (field: "total_size" | "pending" | "processing" | "failed" | "bytes") =>
    queues.reduce((total, queue) => total + queue[field], 0);
  const ages = queues.flatMap(({ oldest_age_ms }) => oldest_age_ms ?? []);
  const { drainedInMs, fullInMs } = combinedEstimates(
    queues.map(({ drained_in_ms, full_in_ms }) => ({ drainedInMs: drained_in_ms, fullInMs: full_in_ms })),
  );
  return {
    total_size: sum("total_size"),
    pending: sum("pending"),
    processing: sum("processing"),
    failed: sum("failed"),
    bytes: sum("bytes"),
    oldest_age_ms: ages.length === 0 ? null : Math.max(...ages),
    drained_in_ms: drainedInMs,
    full_in_ms: fullInMs,
  };
}
