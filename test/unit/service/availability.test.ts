import { describe, expect, test } from "vitest";
import { availabilityRecord, percent, requestBased, trendOf } from "../../../durable-objects/service/availability";
import { type KnownState, type StateChange, spansOf } from "../../../durable-objects/service/timeline";

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 0, 31);
const WELL: KnownState = { status: "HEALTHY", circuits: { read: "CLOSED", write: "CLOSED" } };
const WRITES_DOWN: KnownState = { status: "DEGRADED", circuits: { read: "CLOSED", write: "OPEN" } };
const ALL_DOWN: KnownState = { status: "OFFLINE", circuits: { read: "OPEN", write: "OPEN" } };
const NO_CALLS = { success: 0, failure: 0, rejected: 0 };

describe("a percentage", () => {
  test.each([
    ["of nothing is not known", 0, 0, null],
    ["of a whole", 5, 5, 100],
    ["is rounded down: one missed call of a billion is not 100 %", 999_999_999, 1_000_000_000, 99.9999],
    ["has four places", 2, 3, 66.6666],
    ["of none of some", 0, 3, 0],
  ])("%s", (_, part, whole, expected) => {
    expect(percent(part, whole)).toBe(expected);
  });
});

describe("of calls, those are served that succeeded", () => {
  test.each([
    ["no calls", [NO_CALLS], null],
    ["a failure is not", [{ success: 3, failure: 1, rejected: 0 }], 75],
    ["nor is a call that an open circuit refused", [{ success: 1, failure: 0, rejected: 3 }], 25],
    [
      "both classes together",
      [
        { success: 9, failure: 0, rejected: 0 },
        { success: 0, failure: 1, rejected: 0 },
      ],
      90,
    ],
  ])("%s", (_, counts, expected) => {
    expect(requestBased(counts)).toBe(expected);
  });
});

test.each([
  [99, 98, "up"],
  [99, 99, "flat"],
  [98.9999, 99, "down"],
  [null, 99, null],
  [99, null, null],
])("the trend from %d, after %d, is %s", (now, before, expected) => {
  expect(trendOf(now, before)).toBe(expected);
});

/** Of the hour before `NOW`; times of changes in minutes from its start. */
function record(minutes: [at: number, state: KnownState | null][], knownUntil = NOW) {
  const from = NOW - HOUR;
  const changes: StateChange[] = minutes.map(([at, state]) => ({ startedAt: from + at * 60_000, state }));
  return availabilityRecord({
    service: "R2_STORAGE",
    hours: 1,
    from,
    to: NOW,
    spans: spansOf(changes, from, NOW, knownUntil),
    spansBefore: spansOf(changes, from - HOUR, from, knownUntil),
    counts: { read: { success: 95, failure: 5, rejected: 0 }, write: { success: 10, failure: 0, rejected: 30 } },
    gaps: [{ from: from - 5_000, to: from + 5_000 }],
  });
}

test("an hour with 15 minutes without writes, of which the last 3 without reads too", () => {
  expect(
    record([
      [-60, WELL],
      [30, WRITES_DOWN],
      [42, ALL_DOWN],
      [45, WELL],
    ]),
  ).toEqual({
    service_name: "R2_STORAGE",
    hours: 1,
    time_based: 75,
    // 105 of 140.
    request_based: 75,
    by_class: { read: { time_based: 95, request_based: 95 }, write: { time_based: 75, request_based: 25 } },
    observed_ms: HOUR,
    downtime_ms: 15 * 60_000,
    metrics_gap_ms: 5_000,
    trend: "down",
    intervals: [
      { status: "OFFLINE", from: "2026-01-30T23:42:00.000Z", to: "2026-01-30T23:45:00.000Z" },
      { status: "DEGRADED", from: "2026-01-30T23:30:00.000Z", to: "2026-01-30T23:42:00.000Z" },
    ],
  });
});

test("time that nobody observed is in no percentage", () => {
  // 30 minutes known, 15 of them down.
  expect(
    record([
      [0, WELL],
      [15, null],
      [45, ALL_DOWN],
    ]),
  ).toMatchObject({
    time_based: 50,
    observed_ms: 30 * 60_000,
    downtime_ms: 15 * 60_000,
    trend: null,
    intervals: [{ from: "2026-01-30T23:45:00.000Z", to: null }],
  });
});

test("without data there is no percentage: not 0, and not 100", () => {
  const { time_based, by_class, observed_ms, trend } = record([[0, null]]);
  expect({ time_based, read: by_class.read.time_based, observed_ms, trend }).toEqual({
    time_based: null,
    read: null,
    observed_ms: 0,
    trend: null,
  });
});

test("a downtime that ended unseen has an end", () => {
  expect(record([[0, ALL_DOWN]], NOW - 60_000).intervals).toEqual([
    { status: "OFFLINE", from: "2026-01-30T23:00:00.000Z", to: "2026-01-30T23:59:00.000Z" },
  ]);
});
