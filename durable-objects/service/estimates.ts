/** When the queue will be drained, or full, by how it has lately shrunk or grown. Pure. */
import type { QueueEstimates } from "../../src/shared/rpc";

interface Sample {
  readonly at: number;
  readonly operations: number;
  readonly bytes: number;
}

/** How the queue has changed, oldest first: each size holds until the next. */
export type QueueTrack = Sample[];

/** The time over which the rate is measured, and the least that says anything. */
const WINDOW_MS = 15_000;
const LEAST_MS = 2_000;
/** Changes in quick succession are one. */
const SLOT_MS = 250;

/** Takes the size down as it is now. */
export function track(samples: QueueTrack, operations: number, bytes: number, now: number): void {
  const last = samples.at(-1);
  if (last?.operations === operations && last.bytes === bytes) return;
  const isQuick = last !== undefined && samples.length > 1 && now - last.at < SLOT_MS;
  if (isQuick) samples.pop();
  samples.push({ at: isQuick ? last.at : now, operations, bytes });
  while ((samples[1]?.at ?? now) <= now - WINDOW_MS) samples.shift();
}

/** `limit`: what the queue may hold; 0 operations: any number. Null: not known, or not to be expected. */
export function estimate(
  samples: QueueTrack,
  limit: { readonly operations: number; readonly bytes: number },
  now: number,
): QueueEstimates {
  const current = samples.at(-1);
  if (current === undefined) return { drainedInMs: null, fullInMs: null };
  const fills = (["operations", "bytes"] as const).flatMap((of) => {
    if (of === "operations" && limit.operations === 0) return [];
    const left = Math.max(0, limit[of] - current[of]);
    if (left === 0) return [0];
    const growth = growthOf(samples, of, now);
    return growth > 0 ? [left / growth] : [];
  });
  const growth = growthOf(samples, "operations", now);
  const drained = current.operations === 0 ? 0 : growth < 0 ? Math.round(current.operations / -growth) : null;
  return { drainedInMs: drained, fullInMs: fills.length === 0 ? null : Math.round(Math.min(...fills)) };
}

/** Per ms, since it last turned: since the peak while it shrinks, since the trough while it grows. 0 when that says nothing yet. */
function growthOf(samples: QueueTrack, of: "operations" | "bytes", now: number): number {
  const start = now - WINDOW_MS;
  const first = samples.findLastIndex(({ at }) => at <= start);
  const seen = samples
    .slice(Math.max(0, first))
    .map((sample) => ({ at: Math.max(start, sample.at), size: sample[of] }));
  const current = seen.at(-1);
  if (current === undefined) return 0;
  const sizes = seen.map(({ size }) => size);
  const peak = seen.findLast(({ size }) => size === Math.max(...sizes)) ?? current;
  const trough = seen.findLast(({ size }) => size === Math.min(...sizes)) ?? current;
  const isShrinking = current.size === trough.size || (current.size !== peak.size && peak.at > trough.at);
  const turn = isShrinking ? peak : trough;
  const spanMs = now - turn.at;
  return spanMs < LEAST_MS ? 0 : (current.size - turn.size) / spanMs;
}
