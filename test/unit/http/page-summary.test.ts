import { describe, expect, test } from "vitest";
import { componentStatus, type PageService, pageSummary } from "../../../src/http/page-summary";
import type { IncidentRecord, ServiceStatus } from "../../../src/shared/records";
import type { ServiceOverview } from "../../../src/shared/rpc";

const NOW = Date.parse("2026-02-01T12:00:00Z");
const URL = "https://status.test/";

const circuit = (admit: number) => ({ state: admit > 0 ? "CLOSED" : "OPEN", admit, open_until: null }) as const;

describe("a component", () => {
  test.each([
    ["read", 1, 0, false, "operational"],
    ["read", 0.5, 1, false, "partial_outage"],
    ["read", 0, 1, false, "major_outage"],
    ["read", 1, 1, true, "operational"],
    ["write", 1, 1, false, "operational"],
    ["write", 1, 0.5, false, "degraded_performance"],
    // Queued, and not lost.
    ["write", 1, 0, false, "degraded_performance"],
    ["write", 1, 0, true, "major_outage"],
    ["write", 1, 1, true, "major_outage"],
  ] as const)("%s with reads admitted %d, writes %d, read-only %s: %s", (kind, read, write, readOnly, expected) => {
    const record = { circuits: { read: circuit(read), write: circuit(write) }, read_only: readOnly };
    expect(componentStatus(record, kind)).toBe(expected);
  });
});

const CLOSED: IncidentRecord = {
  incident_id: "closed",
  service_name: "R2_STORAGE",
  opened_at: "2026-01-01T00:00:00.000Z",
  closed_at: "2026-01-01T01:00:00.000Z",
  reason: "a secret",
  peak: { status: "OFFLINE", queue_size: 7, error_rate: 100 },
  operations_queued: 9,
  operations_lost: 0,
};

function service(status: ServiceStatus, admit: { read: number; write: number }, since: string | null): PageService {
  const record = {
    status,
    circuits: { read: circuit(admit.read), write: circuit(admit.write) },
    read_only: false,
    updated_at: "2026-02-01T11:30:00.000Z",
  };
  return {
    service: "R2_STORAGE",
    overview: {
      record,
      lastCheck: null,
      estimates: { drainedInMs: null, fullInMs: null },
    } as unknown as ServiceOverview,
    usage: null,
    incidents: since === null ? [] : [{ ...CLOSED, incident_id: "open", closed_at: null, opened_at: since }, CLOSED],
  };
}

test("all is well: indicator none, nothing open", () => {
  const summary = pageSummary([service("HEALTHY", { read: 1, write: 1 }, null)], URL, NOW);
  expect(summary.status).toEqual({ indicator: "none", description: "All services work normally." });
  expect(summary.components.map(({ name, status, position }) => [name, status, position])).toEqual([
    ["R2_STORAGE reads", "operational", 1],
    ["R2_STORAGE writes", "operational", 2],
  ]);
  expect([summary.incidents, summary.scheduled_maintenances]).toEqual([[], []]);
  expect(summary.page).toEqual({
    id: "r2-failover",
    name: "r2-failover",
    url: URL,
    time_zone: "Etc/UTC",
    updated_at: "2026-02-01T12:00:00.000Z",
  });
});

test("an outage that has not ended is an incident since its beginning, with the components that it touches", () => {
  const since = "2026-02-01T11:30:00.000Z";
  const summary = pageSummary([service("DEGRADED", { read: 1, write: 0 }, since)], URL, NOW);
  expect(summary.status.indicator).toBe("major");
  expect(summary.incidents).toMatchObject([
    { id: "open", name: "R2_STORAGE is degraded", status: "investigating", impact: "critical", started_at: since },
  ]);
  expect(summary.incidents).toHaveLength(1);
  expect(JSON.stringify(summary)).not.toContain("a secret");
  expect(summary.incidents[0]?.components.map(({ id }) => id)).toEqual(["R2_STORAGE.write"]);
});

test.each([
  ["HEALTHY", "none"],
  ["RECOVERING", "minor"],
  ["DEGRADED", "major"],
  ["OFFLINE", "critical"],
] as const)("%s is indicator %s", (status, indicator) => {
  expect(pageSummary([service(status, { read: 1, write: 1 }, null)], URL, NOW).status.indicator).toBe(indicator);
});

test("a service whose monitor is silent is degraded, and no incident is made up", () => {
  const silent = { service: "R2_STORAGE", overview: null, usage: null, incidents: null };
  const summary = pageSummary([silent], URL, NOW);
  expect(summary.components.map(({ status }) => status)).toEqual(["degraded_performance", "degraded_performance"]);
  expect(summary.incidents).toEqual([]);
});
