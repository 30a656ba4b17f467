import { emptyHistogram, latencyBucket } from "../shared/latency";
import type { ClassCounts, OperationClass, Outcome } from "../shared/protocol";

/** What an isolate has counted since it last took its counts for a report. */
export interface Counters {
  readonly read: ClassCounts;
  readonly write: ClassCounts;
  /** Outcomes held, of both classes. */
  held: number;
}

export type TakenCounts = Record<OperationClass, ClassCounts>;

export function createCounters(): Counters {
  return { read: emptyCounts(), write: emptyCounts(), held: 0 };
}

/** Counts one call. The latency of an `ignored` one is the caller's, and is left out of the histogram. */
export function count(counters: Counters, operationClass: OperationClass, outcome: Outcome, latencyMs: number): void {
  const counts = operationClass === "read" ? counters.read : counters.write;
  counters.held += 1;
  counts[outcome] += 1;
  if (outcome === "ignored") return;
  if (outcome === "success") counts.consecutiveFailures = 0;
  else if (outcome === "failure") counts.consecutiveFailures += 1;
  const bucket = latencyBucket(latencyMs);
  counts.latency[bucket] = (counts.latency[bucket] ?? 0) + 1;
}

/** Takes the counts out for a report. The runs of failures go on. */
export function take(counters: Counters): TakenCounts {
  const taken = { read: copyOf(counters.read), write: copyOf(counters.write) };
  empty(counters.read);
  empty(counters.write);
  counters.held = 0;
  return taken;
}

/** Puts counts back whose report failed, so that the next one carries them. */
export function putBack(counters: Counters, taken: TakenCounts): void {
  counters.held += addTo(counters.read, taken.read) + addTo(counters.write, taken.write);
}

function emptyCounts(): ClassCounts {
  return { success: 0, failure: 0, throttled: 0, ignored: 0, consecutiveFailures: 0, latency: emptyHistogram() };
}

function copyOf(counts: ClassCounts): ClassCounts {
  return { ...counts, latency: counts.latency.slice() };
}

function empty(counts: ClassCounts): void {
  counts.success = 0;
  counts.failure = 0;
  counts.throttled = 0;
  counts.ignored = 0;
  counts.latency.fill(0);
}

/** The run of failures stays: it was never taken away. Returns the number of outcomes added. */
function addTo(counts: ClassCounts, taken: ClassCounts): number {
  counts.success += taken.success;
  counts.failure += taken.failure;
  counts.throttled += taken.throttled;
  counts.ignored += taken.ignored;
  taken.latency.forEach((calls, bucket) => {
    counts.latency[bucket] = (counts.latency[bucket] ?? 0) + calls;
  });
  return taken.success + taken.failure + taken.throttled + taken.ignored;
}
