/** Upper bounds, ms, of the latency histogram's buckets; one more bucket holds what is above. */
export const LATENCY_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000] as const;

export function emptyHistogram(): number[] {
  return new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
}

/** The index of the bucket that `ms` falls into. */
export function latencyBucket(ms: number): number {
  let index = 0;
  for (const bound of LATENCY_BOUNDS_MS) {
    if (ms <= bound) return index;
    index += 1;
  }
  return index;
}

export function addHistogram(into: number[], from: readonly number[]): void {
  from.forEach((calls, bucket) => {
    into[bucket] = (into[bucket] ?? 0) + calls;
  });
}

/** Below which `share` (0-1) of the calls lie, ms: interpolated within its bucket; above the last bound, that bound. Null without calls. */
export function percentile(latency: readonly number[], share: number): number | null {
  const total = latency.reduce((sum, calls) => sum + calls, 0);
  if (total === 0) return null;
  const wanted = total * share;
  let below = 0;
  let lower = 0;
  for (const [bucket, upper] of LATENCY_BOUNDS_MS.entries()) {
    const calls = latency[bucket] ?? 0;
    if (calls > 0 && below + calls >= wanted) return lower + (upper - lower) * ((wanted - below) / calls);
    below += calls;
    lower = upper;
  }
  return lower;
}
