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
