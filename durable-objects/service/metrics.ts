/** Health metrics over the sliding window, from all reports and probes together. Pure. */
import { addHistogram, emptyHistogram, percentile } from "../../src/shared/latency";
import { type ClassCounts, OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import type { HealthMetrics } from "../../src/shared/records";

type ReportedCounts = Readonly<Record<OperationClass, ClassCounts>>;

interface Slice {
  readonly startedAt: number;
  success: number;
  failure: number;
  readonly latency: number[];
}

export interface Metrics {
  /** Oldest first. A slice counts until its end has left the window. */
  slices: Slice[];
  readonly consecutiveFailures: Record<OperationClass, number>;
}

const SLICES = 10;

export function createMetrics(): Metrics {
  return { slices: [], consecutiveFailures: { read: 0, write: 0 } };
}

export function countReport(metrics: Metrics, counts: ReportedCounts, now: number, windowMs: number): void {
  const slice = sliceAt(metrics, now, windowMs / SLICES);
  for (const operationClass of OPERATION_CLASSES) {
    const { success, failure, consecutiveFailures, latency } = counts[operationClass];
    slice.success += success;
    slice.failure += failure;
    addHistogram(slice.latency, latency);
    const before = metrics.consecutiveFailures[operationClass];
    metrics.consecutiveFailures[operationClass] = success > 0 ? consecutiveFailures : before + failure;
  }
}

/**
 * The metrics now, rates in percent. Throttled and ignored calls are in neither rate. `response_time_ms` is the median
 * of the calls in the window. A window without calls shows what the last probe says.
 */
export function healthMetrics(
  metrics: Metrics,
  lastProbe: { readonly ok: boolean; readonly ms: number } | null,
  lastCheckAt: number | null,
  now: number,
  windowMs: number,
): HealthMetrics {
  drop(metrics, now, windowMs);
  let success = 0;
  let failure = 0;
  const latency = emptyHistogram();
  for (const slice of metrics.slices) {
    success += slice.success;
    failure += slice.failure;
    addHistogram(latency, slice.latency);
  }
  const calls = success + failure;
  const failureShare = calls > 0 ? failure / calls : lastProbe === null || lastProbe.ok ? 0 : 1;
  const responseTime = calls > 0 ? (percentile(latency, 0.5) ?? 0) : (lastProbe?.ms ?? 0);
  return {
    response_time_ms: round(responseTime),
    error_rate: round(failureShare * 100),
    success_rate: round((1 - failureShare) * 100),
    consecutive_failures: Math.max(metrics.consecutiveFailures.read, metrics.consecutiveFailures.write),
    last_health_check: lastCheckAt === null ? null : new Date(lastCheckAt).toISOString(),
  };
}

function sliceAt(metrics: Metrics, now: number, sliceMs: number): Slice {
  const startedAt = Math.floor(now / sliceMs) * sliceMs;
  drop(metrics, now, sliceMs * SLICES);
  const newest = metrics.slices.at(-1);
  // A clock that was set back goes on in the newest slice.
  if (newest !== undefined && newest.startedAt >= startedAt) return newest;
  const slice = { startedAt, success: 0, failure: 0, latency: emptyHistogram() };
  metrics.slices.push(slice);
  return slice;
}

function drop(metrics: Metrics, now: number, windowMs: number): void {
  const sliceMs = windowMs / SLICES;
  metrics.slices = metrics.slices.filter((slice) => slice.startedAt + sliceMs > now - windowMs);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
