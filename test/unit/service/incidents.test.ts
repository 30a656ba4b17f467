import { describe, expect, test } from "vitest";
import {
  account,
  type Condition,
  type Incident,
  incidentRecord,
  nextIncident,
} from "../../../durable-objects/service/incidents";
import type { ShardUsage } from "../../../src/shared/protocol";

const T0 = Date.UTC(2025, 1, 6, 8, 14);
const MINUTE = 60_000;
const WELL: Condition = { status: "HEALTHY", reason: null, queueSize: 0, errorRate: 0, accepted: 100, lost: 0 };

/** Runs conditions, each at minutes from T0, and returns every incident that there was. */
function run(...steps: [minute: number, condition: Partial<Condition>][]): Incident[] {
  let held: Incident | null = null;
  let ids = 0;
  const all = new Map<string, Incident>();
  for (const [minute, condition] of steps) {
    held = nextIncident(held, { ...WELL, ...condition }, T0 + minute * MINUTE, () => `incident-${++ids}`);
    if (held !== null) all.set(held.id, held);
  }
  return [...all.values()];
}
const times = (incidents: Incident[]) =>
  incidents.map(({ openedAt, closedAt }) => [
    (openedAt - T0) / MINUTE,
    closedAt === null ? null : (closedAt - T0) / MINUTE,
  ]);

describe("an incident", () => {
  test.each<[string, [number, Partial<Condition>][], [number, number | null][]]>([
    [
      "is none while all is well",
      [
        [0, {}],
        [5, {}],
      ],
      [],
    ],
    ["is none when a queue fills for another reason", [[0, { status: "RECOVERING", queueSize: 3 }]], []],
    [
      "is opened by what is degraded, and stays open",
      [
        [0, {}],
        [5, { status: "DEGRADED" }],
        [6, { status: "OFFLINE" }],
      ],
      [[5, null]],
    ],
    [
      "is closed when the queue has drained, not before",
      [
        [0, { status: "OFFLINE" }],
        [59, { status: "RECOVERING" }],
        [61, {}],
      ],
      [[0, 61]],
    ],
    [
      "goes on when it comes back within five minutes",
      [
        [0, { status: "OFFLINE" }],
        [10, {}],
        [15, { status: "OFFLINE" }],
        [20, {}],
      ],
      [[0, 20]],
    ],
    [
      "is another one after that",
      [
        [0, { status: "OFFLINE" }],
        [10, {}],
        [15.1, { status: "OFFLINE" }],
      ],
      [
        [0, 10],
        [15.1, null],
      ],
    ],
    [
      "stays closed while a queue fills for another reason",
      [
        [0, { status: "OFFLINE" }],
        [10, {}],
        [11, { status: "RECOVERING" }],
      ],
      [[0, 10]],
    ],
  ])("%s", (_, steps, expected) => {
    expect(times(run(...steps))).toEqual(expected);
  });
});

test("an incident shows the worst of what was seen, and counts what was queued and lost in it", () => {
  const [incident] = run(
    [0, { accepted: 100, lost: 2 }],
    [1, { status: "DEGRADED", reason: "write: two reporters agree", errorRate: 60, accepted: 100, lost: 2 }],
    [2, { status: "OFFLINE", reason: "another", errorRate: 100, queueSize: 40, accepted: 140, lost: 2 }],
    // The object forgot what it had in memory, until the shards say it again.
    [3, { status: "DEGRADED", errorRate: 0, queueSize: 70, accepted: 110, lost: 2 }],
    [4, { status: "RECOVERING", queueSize: 10, accepted: 190, lost: 3 }],
    [5, { accepted: 191, lost: 3 }],
    [6, { accepted: 300, lost: 9 }],
  );
  expect(incident && incidentRecord("R2_STORAGE", incident)).toEqual({
    incident_id: "incident-1",
    service_name: "R2_STORAGE",
    opened_at: "2025-02-06T08:15:00.000Z",
    closed_at: "2025-02-06T08:19:00.000Z",
    reason: "write: two reporters agree",
    peak: { status: "OFFLINE", queue_size: 70, error_rate: 100 },
    operations_queued: 91,
    operations_lost: 1,
  });
});

test("nothing new is the same value: nothing is to be stored", () => {
  const open = nextIncident(null, { ...WELL, status: "OFFLINE" }, T0, () => "one");
  expect(nextIncident(open, { ...WELL, status: "OFFLINE" }, T0 + 1, () => "two")).toBe(open);
});

describe("what became of accepted operations", () => {
  const usage = (change: Partial<ShardUsage>): ShardUsage => ({
    pending: 0,
    processing: 0,
    failed: 0,
    bytes: 0,
    oldestAt: null,
    completed: 0,
    cancelled: 0,
    superseded: 0,
    accepted: 0,
    swept: 0,
    ...change,
  });
  const { accepted: _, swept: __, ...OLDER } = usage({ completed: 9 });
  test.each<[string, ShardUsage[], { accepted: number; lost: number }]>([
    ["none", [], { accepted: 0, lost: 0 }],
    [
      "each is in one state, or was swept",
      [
        usage({
          accepted: 21,
          swept: 6,
          pending: 1,
          processing: 2,
          failed: 3,
          completed: 4,
          cancelled: 5,
          superseded: 0,
        }),
      ],
      { accepted: 21, lost: 0 },
    ],
    [
      "one is nowhere",
      [usage({ accepted: 5, completed: 4 }), usage({ accepted: 1, superseded: 1 })],
      { accepted: 6, lost: 1 },
    ],
    ["a shard of an older release does not count", [OLDER], { accepted: 0, lost: 0 }],
  ])("%s", (_, usages, expected) => {
    expect(account(usages)).toEqual(expected);
  });
});
