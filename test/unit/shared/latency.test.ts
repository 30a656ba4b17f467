import { describe, expect, test } from "vitest";
import {
  addHistogram,
  emptyHistogram,
  LATENCY_BOUNDS_MS,
  latencyBucket,
  percentile,
} from "../../../src/shared/latency";

/** `calls`: latency, ms → number of calls. */
function histogram(calls: Record<number, number>): number[] {
  const latency = emptyHistogram();
  for (const [ms, n] of Object.entries(calls)) {
    const bucket = latencyBucket(Number(ms));
    latency[bucket] = (latency[bucket] ?? 0) + n;
  }
  return latency;
}

test.each([
  [0, 0],
  [1, 0],
  [1.01, 1],
  [5, 2],
  [30_000, 13],
  [30_001, 14],
])("%d ms is in bucket %d", (ms, bucket) => {
  expect(latencyBucket(ms)).toBe(bucket);
});

describe("a percentile", () => {
  // Buckets end at 1, 2, 5, 10, 20, 50, 100, 200, 500, … ms; inside of one, calls are taken as spread evenly.
  test.each<[string, Record<number, number>, number, number | null]>([
    ["of nothing is not known", {}, 0.5, null],
    ["lies in the middle of its bucket: 5 + 5 × 2/4", { 8: 4 }, 0.5, 7.5],
    ["is the bucket's end when all of it is needed", { 8: 2, 300: 2 }, 0.5, 10],
    ["p95 of 100 calls, 90 fast: 200 + 300 × 5/10", { 8: 90, 300: 10 }, 0.95, 350],
    ["p99 of the same: 200 + 300 × 9/10", { 8: 90, 300: 10 }, 0.99, 470],
    ["of one call", { 0.4: 1 }, 0.99, 0.99],
    ["skips empty buckets", { 0.4: 1, 9000: 1 }, 0.75, 7_500],
    ["above the last bound is that bound", { 40000: 3 }, 0.5, 30_000],
  ])("%s", (_, calls, share, expected) => {
    expect(percentile(histogram(calls), share)).toEqual(expected === null ? null : expect.closeTo(expected, 9));
  });
});

test("histograms add up, also a shorter one of an older release", () => {
  const sum = histogram({ 0.5: 1, 40000: 2 });
  addHistogram(sum, [3, 4]);
  expect(sum).toEqual([4, 4, ...new Array(LATENCY_BOUNDS_MS.length - 2).fill(0), 2]);
});
