import { describe, expect, test } from "vitest";
import {
  downtimes,
  isClassDown,
  isServiceDown,
  type KnownState,
  overlapMs,
  type StateChange,
  spansOf,
  totalMs,
} from "../../../durable-objects/service/timeline";
import type { CircuitState } from "../../../src/shared/protocol";
import type { ServiceStatus } from "../../../src/shared/records";

const known = (status: ServiceStatus, read: CircuitState, write: CircuitState): KnownState => ({
  status,
  circuits: { read, write },
});
const WELL = known("HEALTHY", "CLOSED", "CLOSED");
const WRITES_DOWN = known("DEGRADED", "CLOSED", "OPEN");
const WRITES_TRIED = known("DEGRADED", "CLOSED", "HALF_OPEN");
const ALL_DOWN = known("OFFLINE", "OPEN", "OPEN");
const DRAINING = known("RECOVERING", "CLOSED", "CLOSED");

const changes = (...list: [at: number, state: KnownState | null][]): StateChange[] =>
  list.map(([startedAt, state]) => ({ startedAt, state }));

describe("what is known of a period", () => {
  test.each<[string, StateChange[], [from: number, to: number, knownUntil: number], [number, number][]]>([
    ["nothing, before the service was there", [], [0, 100, 100], []],
    ["nothing, before anybody looked", changes([0, null]), [0, 100, 100], []],
    ["from the first look", changes([0, null], [40, WELL]), [0, 100, 100], [[40, 100]]],
    ["the state that was in force at its start", changes([-50, WELL]), [0, 100, 100], [[0, 100]]],
    [
      "not what nobody saw",
      changes([0, WELL], [20, null], [70, WELL]),
      [0, 100, 100],
      [
        [0, 20],
        [70, 100],
      ],
    ],
    ["not what comes after the last look", changes([0, WELL]), [0, 100, 60], [[0, 60]]],
    ["nothing, when the last look was before it", changes([0, WELL]), [100, 200, 60], []],
    ["not what comes after its end", changes([0, WELL], [150, ALL_DOWN]), [0, 100, 200], [[0, 100]]],
    [
      "each of two changes of one moment: the first lasts no time",
      changes([0, WELL], [50, WRITES_DOWN], [50, ALL_DOWN]),
      [0, 100, 100],
      [
        [0, 50],
        [50, 100],
      ],
    ],
  ])("%s", (_, list, [from, to, knownUntil], expected) => {
    expect(spansOf(list, from, to, knownUntil).map((span) => [span.from, span.to])).toEqual(expected);
  });
});

test.each<[KnownState, boolean, boolean, boolean]>([
  [WELL, false, false, false],
  [DRAINING, false, false, false],
  [WRITES_DOWN, false, true, true],
  [WRITES_TRIED, false, true, true],
  [known("DEGRADED", "FORCED_OPEN", "CLOSED"), true, false, true],
  [known("HEALTHY", "METRICS_ONLY", "FORCED_CLOSED"), false, false, false],
  [ALL_DOWN, true, true, true],
])("%j: reads down %s, writes down %s, service down %s", (state, read, write, service) => {
  expect([isClassDown("read")(state), isClassDown("write")(state), isServiceDown(state)]).toEqual([
    read,
    write,
    service,
  ]);
});

describe("downtimes", () => {
  test.each<[string, StateChange[], [ServiceStatus, number, number][]]>([
    ["are none of a healthy service", changes([0, WELL], [50, DRAINING]), []],
    [
      "last over the trials of a circuit",
      changes([0, WELL], [10, WRITES_DOWN], [20, WRITES_TRIED], [21, WRITES_DOWN], [40, WELL]),
      [["DEGRADED", 10, 40]],
    ],
    [
      "are told apart by their status",
      changes([0, WRITES_DOWN], [30, ALL_DOWN], [60, DRAINING]),
      [
        ["DEGRADED", 0, 30],
        ["OFFLINE", 30, 60],
      ],
    ],
    [
      "are told apart by what nobody saw",
      changes([0, ALL_DOWN], [30, null], [60, ALL_DOWN]),
      [
        ["OFFLINE", 0, 30],
        ["OFFLINE", 60, 100],
      ],
    ],
  ])("%s", (_, list, expected) => {
    const found = downtimes(spansOf(list, 0, 100, 100));
    expect(found.map(({ status, from, to }) => [status, from, to])).toEqual(expected);
  });
});

test("the length of a period is that of its known stretches, or of those that are asked for", () => {
  const spans = spansOf(changes([0, WELL], [20, WRITES_DOWN], [50, null], [80, WELL]), 0, 100, 100);
  expect([totalMs(spans), totalMs(spans, isServiceDown)]).toEqual([70, 30]);
});

test.each([
  ["inside", [{ from: 10, to: 20 }], 10],
  ["over the start", [{ from: -10, to: 5 }], 5],
  ["over the end", [{ from: 90, to: 200 }], 10],
  ["outside", [{ from: 200, to: 300 }], 0],
  [
    "several",
    [
      { from: 0, to: 1 },
      { from: 2, to: 4 },
    ],
    3,
  ],
])("what stretches cover of a period: %s", (_, stretches, ms) => {
  expect(overlapMs(stretches, 0, 100)).toBe(ms);
});
