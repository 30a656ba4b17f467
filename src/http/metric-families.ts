/** What `/metrics` says of each service. Labels are bounded: services, classes, and unions of ours. Pure. */
import { LATENCY_BOUNDS_MS } from "../shared/latency";
import { CIRCUIT_STATES, OPERATION_CLASSES, type OperationClass } from "../shared/protocol";
import { SERVICE_STATUSES, type ServiceHistoryRecord } from "../shared/records";
import type { ClassTotals } from "../shared/rpc";
import type { Family, HistogramSample, Sample } from "./prometheus";
import type { ServiceView } from "./status-summary";

/** One service as it was asked for this scrape. Null: its object did not answer. */
export interface ScrapedService extends ServiceView {
  readonly totals: Readonly<Record<OperationClass, ClassTotals>> | null;
  readonly history: ServiceHistoryRecord | null;
}

const OUTCOMES = ["success", "failure", "throttled", "ignored", "rejected"] as const;
const QUEUE_STATUSES = ["pending", "processing", "failed", "completed", "cancelled", "superseded"] as const;
const BASES = ["time_based", "request_based"] as const;

/** `now` in ms. A value that is not known has no sample. */
export function metricFamilies(services: readonly ScrapedService[], now: number): Family[] {
  const each = (samples: (service: ScrapedService, label: { service: string }) => readonly Sample[]) =>
    services.flatMap((service) => samples(service, { service: service.service }));
  const gauge = (name: string, help: string, samples: Parameters<typeof each>[0]): Family => ({
    name: `r2_failover_${name}`,
    help,
    type: "gauge",
    samples: each(samples),
  });
  return [
    gauge("monitor_up", "Whether the service's monitor answers; while it does not, it has few samples.", (s, label) => [
      { labels: label, value: flag(s.overview !== null) },
    ]),
    gauge("service_status", "1 for the status that the service has.", ({ overview }, label) =>
      overview === null
        ? []
        : SERVICE_STATUSES.map((status) => ({
            labels: { ...label, status },
            value: flag(overview.record.status === status),
          })),
    ),
    gauge("circuit_state", "1 for the state that the circuit has.", ({ overview }, label) =>
      OPERATION_CLASSES.flatMap((operations) =>
        overview === null
          ? []
          : CIRCUIT_STATES.map((state) => ({
              labels: { ...label, class: operations, state },
              value: flag(overview.record.circuits[operations].state === state),
            })),
      ),
    ),
    gauge("circuit_admission_ratio", "Share of calls that the circuit admits, 0 to 1.", ({ overview }, label) =>
      OPERATION_CLASSES.flatMap((operations) =>
        overview === null
          ? []
          : [{ labels: { ...label, class: operations }, value: overview.record.circuits[operations].admit }],
      ),
    ),
    gauge("read_only", "Whether a write would be refused.", ({ overview }, label) =>
      overview === null ? [] : [{ labels: label, value: flag(overview.record.read_only) }],
    ),
    gauge("last_check_timestamp_seconds", "When the service was probed last.", ({ overview }, label) =>
      overview?.lastCheck == null ? [] : [{ labels: label, value: overview.lastCheck / 1_000 }],
    ),
    gauge("queue_paused", "Whether somebody has paused the queue.", ({ overview }, label) =>
      overview === null ? [] : [{ labels: label, value: flag(overview.paused) }],
    ),
    gauge("queue_operations", "Operations that are kept, by status; final ones until retention.", ({ usage }, label) =>
      usage === null ? [] : QUEUE_STATUSES.map((status) => ({ labels: { ...label, status }, value: usage[status] })),
    ),
    gauge("queue_bytes", "Bytes of payload of pending operations and dead letters.", ({ usage }, label) =>
      usage === null ? [] : [{ labels: label, value: usage.bytes }],
    ),
    gauge("queue_oldest_age_seconds", "Age of the oldest pending operation; 0 without any.", ({ usage }, label) =>
      usage === null
        ? []
        : [{ labels: label, value: usage.oldestAt === null ? 0 : Math.max(0, now - usage.oldestAt) / 1_000 }],
    ),
    gauge("availability_ratio", "Share of the period in which the service was up, 0 to 1.", ({ history }, label) =>
      Object.entries(history?.availability ?? {}).flatMap(([period, figures]) =>
        BASES.flatMap((basis) => {
          const percent = figures[basis];
          return percent === null ? [] : [{ labels: { ...label, period, basis }, value: percent / 100 }];
        }),
      ),
    ),
    gauge("counts_gap_seconds", "Of the last 24 hours, for how long counts are missing.", ({ history }, label) =>
      history === null ? [] : [{ labels: label, value: history.metrics_gap_ms / 1_000 }],
    ),
    {
      name: "r2_failover_calls_total",
      help: "Calls since the service was first used, by how they went.",
      type: "counter",
      samples: each(({ totals }, label) =>
        OPERATION_CLASSES.flatMap((operations) =>
          totals === null
            ? []
            : OUTCOMES.map((outcome) => ({
                labels: { ...label, class: operations, outcome },
                value: totals[operations][outcome],
              })),
        ),
      ),
    },
    {
      name: "r2_failover_call_duration_seconds",
      help: "How long calls took, as far as their outcome tells of the service.",
      type: "histogram",
      bounds: LATENCY_BOUNDS_MS.map((ms) => ms / 1_000),
      samples: services.flatMap(({ service, totals }): HistogramSample[] =>
        totals === null
          ? []
          : OPERATION_CLASSES.map((operations) => ({
              labels: { service, class: operations },
              counts: totals[operations].latency,
            })),
      ),
    },
  ];
}

function flag(fact: boolean): number {
  return fact ? 1 : 0;
}
