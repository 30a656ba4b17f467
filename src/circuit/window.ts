/** Buckets of a window. It reaches back `windowMs`, less at most one bucket. */
const BUCKETS = 10;

/**
 * Successes and failures of the last `windowMs`, in a ring of time buckets (as failsafe-go's `windows.go`).
 * `success` and `failure` are the totals of the buckets that have not expired, as of the last read or write.
 */
export interface Window {
  readonly bucketMs: number;
  readonly successes: Uint32Array;
  readonly failures: Uint32Array;
  /** Number of the newest bucket since the epoch. */
  newest: number;
  /** When the newest bucket ends: until then nothing can expire, and a write is two additions. */
  newestEndsAt: number;
  success: number;
  failure: number;
}

export function createWindow(windowMs: number): Window {
  return {
    bucketMs: windowMs / BUCKETS,
    successes: new Uint32Array(BUCKETS),
    failures: new Uint32Array(BUCKETS),
    newest: 0,
    newestEndsAt: 0,
    success: 0,
    failure: 0,
  };
}

/** Drops what has expired. Call it before reading the totals. A clock that was set back expires nothing. */
export function expire(window: Window, now: number): void {
  if (now < window.newestEndsAt) return;
  const newest = Math.floor(now / window.bucketMs);
  if (newest - window.newest >= BUCKETS) {
    clear(window);
  } else {
    for (let bucket = window.newest + 1; bucket <= newest; bucket += 1) drop(window, bucket % BUCKETS);
  }
  window.newest = newest;
  window.newestEndsAt = (newest + 1) * window.bucketMs;
}

export function add(window: Window, now: number, success: number, failure: number): void {
  expire(window, now);
  const index = window.newest % BUCKETS;
  window.successes[index] = (window.successes[index] ?? 0) + success;
  window.failures[index] = (window.failures[index] ?? 0) + failure;
  window.success += success;
  window.failure += failure;
}

export function clear(window: Window): void {
  window.successes.fill(0);
  window.failures.fill(0);
  window.success = 0;
  window.failure = 0;
}

function drop(window: Window, index: number): void {
  window.success -= window.successes[index] ?? 0;
  window.failure -= window.failures[index] ?? 0;
  window.successes[index] = 0;
  window.failures[index] = 0;
}
