import { describe, expect, test } from "vitest";
import { countReport, createMetrics, healthMetrics } from "../../../durable-objects/service/metrics";
import { emptyHistogram, latencyBucket } from "../../../src/shared/latency";
import type { ClassCounts } from "../../../src/shared/protocol";

const WINDOW = 10_000;
const T0 = 1_000_000;

/** `latencies`: ms → calls. */
function counts(
  success: number,
  failure: number,
  latencies: Record<number, number> = {},
  consecutive = 0,
): ClassCounts {
  const latency = emptyHistogram();
  for (const [ms, calls] of Object.entries(latencies)) latency[latencyBucket(Number(ms))] = calls;
  return { success, failure, throttled: 0, ignored: 0, consecutiveFailures: consecutive, latency };
}
const NONE = counts(0, 0);

function metricsOf(...reports: [at: number, read: ClassCounts, write: ClassCounts][]) {
  const metrics = createMetrics();
  for (const [at, read, write] of reports) countReport(metrics, { read, write }, at, WINDOW);
  return (now: number, probe: { ok: boolean; ms: number } | null = null, checkedAt: number | null = null) =>
    healthMetrics(metrics, probe, checkedAt, now, WINDOW);
}

describe("rates, in percent", () => {
  test("count both classes and all reporters", () => {
    const metrics = metricsOf([T0, counts(1, 1), NONE], [T0 + 5, NONE, counts(1, 0)]);
    expect(metrics(T0 + 5)).toMatchObject({ success_rate: 66.67, error_rate: 33.33 });
  });
  test("leave throttled and ignored calls out", () => {
    const metrics = metricsOf([T0, { ...counts(1, 1), throttled: 7, ignored: 9 }, NONE]);
    expect(metrics(T0)).toMatchObject({ success_rate: 50, error_rate: 50 });
  });
  test("forget what has left the window, also across an idle gap", () => {
    const metrics = metricsOf([T0, counts(0, 9), NONE], [T0 + 9_000, counts(1, 0), NONE]);
    expect(metrics(T0 + 9_000).success_rate).toBe(10);
    expect(metrics(T0 + 11_000).success_rate).toBe(100);
  });
  test.each([
    ["went well", { ok: true, ms: 30 }, { success_rate: 100, error_rate: 0, response_time_ms: 30 }],
    ["failed", { ok: false, ms: 500 }, { success_rate: 0, error_rate: 100, response_time_ms: 500 }],
  ])("without calls in the window are the last probe's, which %s", (_, probe, expected) => {
    expect(metricsOf([T0, counts(1, 1), NONE])(T0 + 60_000, probe)).toMatchObject(expected);
  });
});

describe("the response time is the median, within its histogram bucket", () => {
  test.each<[string, Record<number, number>, number]>([
    ["all in one bucket", { 8: 4 }, 7.5],
    ["half below", { 8: 2, 300: 2 }, 10],
    ["mostly slow", { 8: 1, 300: 3 }, 300],
    ["beyond the last bound", { 40000: 3 }, 30_000],
  ])("%s", (_, latencies, median) => {
    const calls = Object.values(latencies).reduce((sum, n) => sum + n, 0);
    expect(metricsOf([T0, counts(calls, 0, latencies), NONE])(T0).response_time_ms).toBe(median);
  });
});

describe("consecutive failures, of the worse class", () => {
  test("add up over reports without a success", () => {
    expect(metricsOf([T0, NONE, counts(0, 2)], [T0 + 1, counts(0, 1), counts(0, 3)])(T0 + 1).consecutive_failures).toBe(
      5,
    );
  });
  test("start again after the last success of a report", () => {
    expect(metricsOf([T0, NONE, counts(0, 4)], [T0 + 1, NONE, counts(1, 2, {}, 2)])(T0 + 1).consecutive_failures).toBe(
      2,
    );
  });
});

test("the time of the last probe is ISO 8601, or null", () => {
  expect(metricsOf()(T0).last_health_check).toBeNull();
  expect(metricsOf()(T0, null, T0).last_health_check).toBe("1970-01-01T00:16:40.000Z");
});
