/** The state of the whole out of the states of the services. Pure. */
import { DEFAULT_SERVICE } from "../shared/env";
import type { ShardUsage } from "../shared/protocol";
import { combinedEstimates, queueRecord } from "../shared/queue-record";
import type { ServiceStatus, SystemStatusRecord } from "../shared/records";
import type { QueueEstimates, ServiceOverview } from "../shared/rpc";

/** What could be learned about one service. `overview` is null when its object did not answer. */
export interface ServiceView {
  readonly service: string;
  readonly overview: ServiceOverview | null;
  /** Null when the queue did not answer either. */
  readonly usage: ShardUsage | null;
}

/** A service whose object is silent goes on by what its isolates know (fail static): degraded, not offline. */
function statusOf(view: ServiceView): ServiceStatus {
  return view.overview?.record.status ?? "DEGRADED";
}

/** A queue in which nothing waits is drained, whoever answers for it; one that nobody answers for may hold anything. */
export function estimatesOf(views: readonly ServiceView[]): QueueEstimates {
  return combinedEstimates(
    views.map(({ usage, overview }) => ({
      drainedInMs:
        usage !== null && usage.pending + usage.processing === 0 ? 0 : (overview?.estimates.drainedInMs ?? null),
      fullInMs: overview?.estimates.fullInMs ?? null,
    })),
  );
}

/** The worst service's status; OFFLINE only if the default service is. */
function overallStatus(views: readonly ServiceView[]): ServiceStatus {
  const statuses = views.map((view) => {
    const status = statusOf(view);
    return status === "OFFLINE" && view.service !== DEFAULT_SERVICE ? "DEGRADED" : status;
  });
  const fromWorst: readonly ServiceStatus[] = ["OFFLINE", "DEGRADED", "RECOVERING"];
  return fromWorst.find((status) => statuses.includes(status)) ?? "HEALTHY";
}

export function systemStatus(views: readonly ServiceView[], now: number): SystemStatusRecord {
  const overall = overallStatus(views);
  const statuses = views.map(statusOf);
  const checks = views.flatMap(({ overview }) => (overview?.lastCheck == null ? [] : [overview.lastCheck]));
  const count = (...wanted: ServiceStatus[]) => statuses.filter((status) => wanted.includes(status)).length;
  return {
    overall_status: overall,
    message: message(overall, views),
    degraded: overall !== "HEALTHY",
    read_only: views.some(
      ({ service, overview }) => service === DEFAULT_SERVICE && overview?.record.read_only === true,
    ),
    timestamp: new Date(now).toISOString(),
    last_check: checks.length === 0 ? null : new Date(Math.max(...checks)).toISOString(),
    total_services: views.length,
    healthy_services: count("HEALTHY"),
    degraded_services: count("DEGRADED", "RECOVERING"),
    offline_services: count("OFFLINE"),
    services: views.map((view) => ({ service_name: view.service, status: statusOf(view) })),
    queue: queueRecord(
      views.flatMap(({ usage }) => (usage === null ? [] : [usage])),
      now,
      estimatesOf(views),
    ),
  };
}

function message(overall: ServiceStatus, views: readonly ServiceView[]): string {
  const silent = views.filter(({ overview }) => overview === null).map(({ service }) => service);
  if (silent.length > 0) return `The state of ${silent.join(", ")} is unknown: its monitor does not answer.`;
  const affected = views.filter((view) => statusOf(view) !== "HEALTHY").map(({ service }) => service);
  switch (overall) {
    case "HEALTHY":
      return "All services work normally.";
    case "RECOVERING":
      return `${affected.join(", ")} works again; queued writes are being applied.`;
    case "DEGRADED":
      return `${affected.join(", ")} works in part; what cannot be done now is queued or refused.`;
    case "OFFLINE":
      return `${DEFAULT_SERVICE} is offline; writes are queued, and queued writes can be read.`;
  }
}

const HEALTH_WORDS: Readonly<Record<ServiceStatus, "pass" | "warn" | "fail">> = {
  HEALTHY: "pass",
  RECOVERING: "warn",
  DEGRADED: "warn",
  OFFLINE: "fail",
};

/** The same as `application/health+json` (draft-inadarei-api-health-check-06). */
export function healthJson(record: SystemStatusRecord): Record<string, unknown> {
  const time = record.timestamp;
  const services = record.services.map(({ service_name, status }) => [
    `${service_name}:status`,
    [{ componentType: "datastore", observedValue: status, status: HEALTH_WORDS[status], time }],
  ]);
  const size = { componentType: "component", observedValue: record.queue.total_size, observedUnit: "operations", time };
  return {
    status: HEALTH_WORDS[record.overall_status],
    description: record.message,
    checks: { ...Object.fromEntries(services), "queue:size": [size] },
  };
}
