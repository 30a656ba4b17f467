import { describe, expect, test } from "vitest";
import { estimatesOf, healthJson, type ServiceView, systemStatus } from "../../../src/http/status-summary";
import type { ShardUsage } from "../../../src/shared/protocol";
import { queueRecord } from "../../../src/shared/queue-record";
import type { ServiceStatus } from "../../../src/shared/records";
import type { ServiceOverview } from "../../../src/shared/rpc";

const NOW = Date.UTC(2026, 0, 1);
const EMPTY: ShardUsage = {
  pending: 0,
  processing: 0,
  failed: 0,
  bytes: 0,
  oldestAt: null,
  completed: 0,
  cancelled: 0,
  superseded: 0,
};
const NO_CALLS = { isolates: { read: 0, write: 0 }, drain: { read: 0, write: 0 }, probes: { read: 0, write: 0 } };
const CLOSED = { state: "CLOSED", admit: 1, open_until: null } as const;

function overview(
  service: string,
  status: ServiceStatus,
  more: { readOnly?: boolean; lastCheck?: number } = {},
): ServiceOverview {
  return {
    record: {
      service_name: service,
      status,
      circuit_breaker_state: "CLOSED",
      circuits: { read: CLOSED, write: CLOSED },
      health_metrics: {
        response_time_ms: 1,
        error_rate: 0,
        success_rate: 100,
        consecutive_failures: 0,
        last_health_check: null,
      },
      degradation_reason: "secret reason",
      read_only: more.readOnly ?? false,
      updated_at: new Date(NOW).toISOString(),
    },
    usage: EMPTY,
    estimates: { drainedInMs: null, fullInMs: null },
    paused: false,
    monitored: true,
    lastCheck: more.lastCheck ?? null,
    bucketCalls: NO_CALLS,
    bucketCallsWhileOpen: NO_CALLS,
  };
}

const view = (service: string, status: ServiceStatus, usage: Partial<ShardUsage> = {}): ServiceView => ({
  service,
  overview: overview(service, status),
  usage: { ...EMPTY, ...usage },
});
const silent = (service: string): ServiceView => ({ service, overview: null, usage: null });

describe("the overall status is the worst service's, and OFFLINE only if the default service is", () => {
  test.each<[string, ServiceView[], ServiceStatus]>([
    ["all healthy", [view("R2_STORAGE", "HEALTHY"), view("OTHER", "HEALTHY")], "HEALTHY"],
    ["one recovering", [view("R2_STORAGE", "HEALTHY"), view("OTHER", "RECOVERING")], "RECOVERING"],
    ["degraded beats recovering", [view("R2_STORAGE", "DEGRADED"), view("OTHER", "RECOVERING")], "DEGRADED"],
    ["default offline", [view("R2_STORAGE", "OFFLINE"), view("OTHER", "HEALTHY")], "OFFLINE"],
    ["another offline", [view("R2_STORAGE", "HEALTHY"), view("OTHER", "OFFLINE")], "DEGRADED"],
    ["default silent: fail static, not offline", [silent("R2_STORAGE")], "DEGRADED"],
  ])("%s", (_, views, status) => {
    expect(systemStatus(views, NOW).overall_status).toBe(status);
  });
});

test("services are counted by status, and recovering ones as degraded", () => {
  const views = [view("R2_STORAGE", "HEALTHY"), view("A", "RECOVERING"), view("B", "DEGRADED"), view("C", "OFFLINE")];
  expect(systemStatus(views, NOW)).toMatchObject({
    total_services: 4,
    healthy_services: 1,
    degraded_services: 2,
    offline_services: 1,
    degraded: true,
  });
});

test("the last check is the latest of all services", () => {
  const views: ServiceView[] = [
    { service: "R2_STORAGE", overview: overview("R2_STORAGE", "HEALTHY", { lastCheck: NOW - 5_000 }), usage: EMPTY },
    { service: "OTHER", overview: overview("OTHER", "HEALTHY", { lastCheck: NOW - 1_000 }), usage: EMPTY },
  ];
  expect(systemStatus(views, NOW).last_check).toBe(new Date(NOW - 1_000).toISOString());
});

test("the whole is read-only when the default service is", () => {
  const readOnly = (service: string): ServiceView => ({
    service,
    overview: overview(service, "DEGRADED", { readOnly: true }),
    usage: EMPTY,
  });
  expect(systemStatus([readOnly("R2_STORAGE")], NOW).read_only).toBe(true);
  expect(systemStatus([view("R2_STORAGE", "HEALTHY"), readOnly("OTHER")], NOW).read_only).toBe(false);
});

test("a service whose monitor is silent is named, and its queue still counts when the shards answer", () => {
  const record = systemStatus([{ ...silent("R2_STORAGE"), usage: { ...EMPTY, pending: 3 } }], NOW);
  expect(record.message).toContain("R2_STORAGE is unknown");
  expect(record.queue.pending).toBe(3);
});

test("no reason gets into the status", () => {
  expect(JSON.stringify(systemStatus([view("R2_STORAGE", "OFFLINE")], NOW))).not.toContain("secret reason");
});

describe("the queue's numbers", () => {
  test("are sums, and the age of the oldest operation of all", () => {
    const usages = [
      { ...EMPTY, pending: 2, processing: 1, failed: 1, bytes: 10, oldestAt: NOW - 100 },
      { ...EMPTY, pending: 1, bytes: 5, oldestAt: NOW - 900 },
      EMPTY,
    ];
    expect(queueRecord(usages, NOW)).toEqual({
      total_size: 4,
      pending: 3,
      processing: 1,
      failed: 1,
      bytes: 15,
      oldest_age_ms: 900,
      drained_in_ms: null,
      full_in_ms: null,
    });
  });

  test("are as good as the estimates of its service", () => {
    const estimates = { drainedInMs: 5_000, fullInMs: 70_000 };
    expect(queueRecord([{ ...EMPTY, pending: 1 }], NOW, estimates)).toMatchObject({
      drained_in_ms: 5_000,
      full_in_ms: 70_000,
    });
  });

  const busy = (drainedInMs: number | null, fullInMs: number | null): ServiceView => {
    const held = overview("S", "RECOVERING");
    return {
      service: "S",
      overview: { ...held, estimates: { drainedInMs, fullInMs } },
      usage: { ...EMPTY, pending: 1 },
    };
  };
  test.each<[string, ServiceView[], number | null, number | null]>([
    ["no services", [], 0, null],
    ["idle ones are drained", [view("S", "HEALTHY")], 0, null],
    ["the last to drain, and the first to fill", [busy(5, 90), busy(9, 30), view("S", "HEALTHY")], 9, 30],
    ["one that is not known", [busy(5, null), busy(null, 8)], null, 8],
    ["one whose shards do not answer", [busy(5, null), silent("S")], null, null],
  ])("of several services together: %s", (_, views, drainedInMs, fullInMs) => {
    expect(estimatesOf(views)).toEqual({ drainedInMs, fullInMs });
  });

  test("an empty queue is drained, and has no oldest operation", () => {
    expect(queueRecord([EMPTY], NOW)).toMatchObject({ drained_in_ms: 0, oldest_age_ms: null });
  });

  test("an operation that a faster clock stamped has age 0, not a negative one", () => {
    expect(queueRecord([{ ...EMPTY, pending: 1, oldestAt: NOW + 50 }], NOW).oldest_age_ms).toBe(0);
  });
});

test.each<[ServiceStatus, string]>([
  ["HEALTHY", "pass"],
  ["RECOVERING", "warn"],
  ["DEGRADED", "warn"],
  ["OFFLINE", "fail"],
])("in application/health+json %s is %s", (status, word) => {
  const record = healthJson(systemStatus([view("R2_STORAGE", status)], NOW));
  expect(record).toMatchObject({
    status: word,
    checks: { "R2_STORAGE:status": [{ status: word, observedValue: status }] },
  });
});
