import { describe, expect, test } from "vitest";
import { readMessage } from "../../../durable-objects/shared/live/client-message";
import { encode, fingerprint, isMoving } from "../../../durable-objects/shared/live/frames";
import type { LiveState } from "../../../src/shared/frames";
import { queueRecord, sumQueues } from "../../../src/shared/queue-record";
import type { ServiceRecord } from "../../../src/shared/records";
import { IDLE_USAGE } from "../service/usage";

const circuit = { state: "CLOSED", admit: 1, open_until: null } as const;
const record: ServiceRecord = {
  service_name: "R2_STORAGE",
  status: "DEGRADED",
  circuit_breaker_state: "CLOSED",
  circuits: { read: circuit, write: circuit },
  health_metrics: {
    response_time_ms: 1,
    error_rate: 0,
    success_rate: 100,
    consecutive_failures: 0,
    last_health_check: null,
  },
  degradation_reason: "a reason",
  read_only: false,
  updated_at: "2026-01-01T00:00:00.000Z",
};
const queue = queueRecord([IDLE_USAGE], 0);
const state = (change: Partial<ServiceRecord> = {}, waiting = 0): LiveState => ({
  services: [{ ...record, ...change }],
  queue: { ...queue, total_size: waiting, pending: waiting },
});

describe("a frame for the public", () => {
  const event = {
    seq: 1,
    event_type: "QUEUE_PAUSED",
    event_category: "QUEUE",
    service_name: "R2_STORAGE",
    severity: "INFO",
    event_data: { actor: "a name" },
    created_at: "2026-01-01T00:00:00.000Z",
  } as const;
  test.each([
    [encode({ type: "snapshot", epoch: "e", seq: 1, ...state() }), "a reason"],
    [encode({ type: "reset", epoch: "e", seq: 1, ...state() }), "a reason"],
    [encode({ type: "state", ...state() }), "a reason"],
    [encode({ type: "event", epoch: "e", seq: 1, event }), "a name"],
  ])("%# leaves out what a token sees", (frame, secret) => {
    expect([frame("token").includes(secret), frame("public").includes(secret)]).toEqual([true, false]);
    expect(Object.keys(JSON.parse(frame("public")))).toEqual(Object.keys(JSON.parse(frame("token"))));
  });
});

describe("a state is news", () => {
  test.each<[string, LiveState, boolean]>([
    ["when nothing has changed", state(), false],
    ["when a metric has", state({ health_metrics: { ...record.health_metrics, response_time_ms: 9 } }), false],
    ["when the status has", state({ status: "HEALTHY" }), true],
    ["when the reason has", state({ degradation_reason: null }), true],
    ["when it became read-only", state({ read_only: true }), true],
    ["when a circuit has", state({ circuits: { read: circuit, write: { ...circuit, state: "OPEN" } } }), true],
    ["when a ratio has", state({ circuits: { read: circuit, write: { ...circuit, admit: 0.5 } } }), true],
    [
      "when a ratio has by less than a percent",
      state({ circuits: { read: circuit, write: { ...circuit, admit: 0.999 } } }),
      false,
    ],
    ["when the queue's depth has", state({}, 1), true],
  ])("%s", (_, next, expected) => {
    expect(fingerprint(next) !== fingerprint(state())).toBe(expected);
  });

  test("of itself while a ratio climbs", () => {
    const climbing = state({ circuits: { read: circuit, write: { ...circuit, admit: 0.5 } } });
    expect([isMoving(climbing), isMoving(state())]).toEqual([true, false]);
  });
});

test("queues together are drained with the last, and full with the first", () => {
  const one = { ...queue, total_size: 2, pending: 2, oldest_age_ms: 50, drained_in_ms: 1_000, full_in_ms: 9_000 };
  const other = { ...queue, total_size: 1, pending: 1, oldest_age_ms: 70, drained_in_ms: 3_000, full_in_ms: 5_000 };
  expect(sumQueues([one, other])).toMatchObject({
    total_size: 3,
    pending: 3,
    oldest_age_ms: 70,
    drained_in_ms: 3_000,
    full_in_ms: 5_000,
  });
  expect(sumQueues([one, { ...other, drained_in_ms: null, full_in_ms: null }])).toMatchObject({
    drained_in_ms: null,
    full_in_ms: 9_000,
  });
  expect(sumQueues([])).toEqual(queue);
});

test.each([
  ["ping", { kind: "ping" }],
  ['{"type":"ack","seq":7}', { kind: "ack", seq: 7 }],
  ['{"type":"ack","seq":7,"of":"a newer release"}', { kind: "ack", seq: 7 }],
])("%s is understood", (text, expected) => {
  expect(readMessage(text)).toEqual(expected);
});
