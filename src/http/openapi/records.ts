/** The records of the health calls. */
import * as z from "zod";
import { CIRCUIT_STATES, OPERATION_STATUSES } from "../../shared/protocol";
import {
  type AvailabilityRecord,
  type CircuitRecord,
  type ClassAvailability,
  type ConfigRecord,
  EVENT_CATEGORIES,
  EVENT_TYPES,
  type EventRecord,
  type HealthMetrics,
  type IncidentRecord,
  type OperationRecord,
  type PercentilesRecord,
  type QueueRecord,
  type RollupRecord,
  SERVICE_STATUSES,
  SEVERITIES,
  type ServiceRecord,
  type SystemStatusRecord,
} from "../../shared/records";
import type { PageSummary } from "../page-summary";
import { component, count, fields, ms, percent, recordOf, time } from "./components";

const serviceStatus = z.enum(SERVICE_STATUSES);
const byClass = <T>(schema: z.ZodType<T>) => z.strictObject({ read: schema, write: schema });

const healthMetrics = recordOf<HealthMetrics>("HealthMetrics")(
  z.strictObject({
    response_time_ms: ms,
    error_rate: percent,
    success_rate: percent,
    consecutive_failures: count,
    last_health_check: time.nullable(),
  }),
);

const circuit = recordOf<CircuitRecord>("Circuit")(
  z.strictObject({
    state: z.enum(CIRCUIT_STATES),
    admit: z.number().min(0).max(1),
    open_until: time.nullable(),
  }),
);

const serviceFields = {
  service_name: z.string(),
  status: serviceStatus,
  circuit_breaker_state: z.enum(CIRCUIT_STATES),
  circuits: byClass(circuit),
  health_metrics: healthMetrics,
  degradation_reason: z.string().nullable(),
  read_only: z.boolean(),
  updated_at: time,
};
export const service = recordOf<ServiceRecord>("Service")(z.strictObject(serviceFields));

const queueFields = {
  total_size: count,
  pending: count,
  processing: count,
  failed: count,
  bytes: count,
  oldest_age_ms: ms.nullable(),
  drained_in_ms: ms.nullable(),
  full_in_ms: ms.nullable(),
};
const queue = recordOf<QueueRecord>("Queue")(z.strictObject(queueFields));

const classAvailability = recordOf<ClassAvailability>("ClassAvailability")(
  z.strictObject({ time_based: percent.nullable(), request_based: percent.nullable() }),
);

export const availability = recordOf<AvailabilityRecord>("Availability")(
  z.strictObject({
    service_name: z.string(),
    hours: count,
    time_based: percent.nullable(),
    request_based: percent.nullable(),
    by_class: byClass(classAvailability),
    observed_ms: ms,
    downtime_ms: ms,
    metrics_gap_ms: ms,
    trend: z.enum(["up", "flat", "down"]).nullable(),
    intervals: z.array(z.strictObject({ status: serviceStatus, from: time, to: time.nullable() })),
  }),
);

const percentileFields = { p50: ms.nullable(), p95: ms.nullable(), p99: ms.nullable() };
const percentiles = recordOf<PercentilesRecord>("Percentiles")(z.strictObject(percentileFields));
const classRollup = z.strictObject({
  ...percentileFields,
  success: count,
  failure: count,
  throttled: count,
  ignored: count,
  rejected: count,
});
const rollup = recordOf<RollupRecord>("Rollup")(z.strictObject({ started_at: time, ...byClass(classRollup).shape }));

const bucketCalls = z.strictObject({
  isolates: byClass(count),
  drain: byClass(count),
  probes: byClass(count),
});

export const serviceDetails = component(
  "ServiceDetails",
  z.strictObject({
    ...serviceFields,
    percentiles: byClass(percentiles),
    rollups: z.array(rollup),
    availability: z.strictObject({
      "1h": classAvailability,
      "24h": classAvailability,
      "7d": classAvailability,
      "30d": classAvailability,
      "90d": classAvailability,
    }),
    metrics_gap_ms: ms,
    last_check: time.nullable(),
    queue,
    paused: z.boolean(),
    monitored: z.boolean(),
    bucket_calls: bucketCalls,
    bucket_calls_while_open: bucketCalls,
  }),
);

export const services = component(
  "Services",
  z.strictObject({ services: z.array(service), unreachable: z.array(z.string()) }),
);

export const systemStatus = recordOf<SystemStatusRecord>("SystemStatus")(
  z.strictObject({
    overall_status: serviceStatus,
    message: z.string(),
    degraded: z.boolean(),
    read_only: z.boolean(),
    timestamp: time,
    last_check: time.nullable(),
    total_services: count,
    healthy_services: count,
    degraded_services: count,
    offline_services: count,
    services: z.array(z.strictObject({ service_name: z.string(), status: serviceStatus })),
    queue,
  }),
);

const healthWord = z.enum(["pass", "warn", "fail"]);
const healthCheck = z.strictObject({
  componentType: z.string(),
  observedValue: z.union([z.string(), z.number()]),
  observedUnit: z.string().optional(),
  status: healthWord.optional(),
  time,
});
export const healthCheckJson = component(
  "HealthJson",
  z.strictObject({
    status: healthWord,
    description: z.string(),
    checks: z.record(z.string(), z.array(healthCheck)),
  }),
);

export const live = component("Live", z.strictObject({ live: z.literal(true) }));
export const ready = component("Ready", z.strictObject({ read: z.boolean(), write: z.boolean() }));
export const r2Status = component(
  "R2Status",
  z.strictObject({ service_status: serviceStatus, health_metrics: healthMetrics, read_only_mode: z.boolean() }),
);
const step = z.strictObject({ ok: z.boolean(), ms });
export const r2Test = component(
  "R2Test",
  z.strictObject({
    success: z.boolean(),
    write: step,
    read: step,
    delete: z.strictObject({ ok: z.boolean(), ms: ms.nullable() }),
    total_ms: ms,
    clock_offset_ms: z.number().nullable(),
  }),
);
export const checked = component(
  "Checked",
  z.strictObject({ services: z.record(z.string(), healthMetrics.nullable()) }),
);

export const monitored = component(
  "Monitored",
  z.strictObject({ services: z.record(z.string(), z.boolean().nullable()) }),
);

const event = recordOf<EventRecord>("Event")(
  z.strictObject({
    seq: count,
    event_type: z.enum(EVENT_TYPES),
    event_category: z.enum(EVENT_CATEGORIES),
    service_name: z.string(),
    severity: z.enum(SEVERITIES),
    event_data: fields,
    created_at: time,
  }),
);
export const events = component(
  "Events",
  z.strictObject({ events: z.array(event), next_since: z.string(), reset: z.boolean() }),
);

const incident = recordOf<IncidentRecord>("Incident")(
  z.strictObject({
    incident_id: z.string(),
    service_name: z.string(),
    opened_at: time,
    closed_at: time.nullable(),
    reason: z.string().nullable(),
    peak: z.strictObject({ status: serviceStatus, queue_size: count, error_rate: percent }),
    operations_queued: count,
    operations_lost: z.int(),
  }),
);
export const incidents = component("Incidents", z.strictObject({ incidents: z.array(incident) }));

export const operation = recordOf<OperationRecord>("Operation")(
  z.strictObject({
    operation_id: z.string(),
    operation_type: z.enum(["UPLOAD", "DELETE", "MULTIPART_UPLOAD"]),
    service_name: z.string(),
    key: z.string(),
    status: z.enum(OPERATION_STATUSES),
    priority: z.int().min(1).max(10),
    user_id: z.string().nullable(),
    file_id: z.string().nullable(),
    retry_count: count,
    max_retries: count,
    size: count,
    etag: z.string().nullable(),
    error_message: z.string().nullable(),
    created_at: time,
    scheduled_at: time,
    completed_at: time.nullable(),
  }),
);
export const operations = component(
  "Operations",
  z.strictObject({
    operations: z.array(operation),
    cursor: z.string().nullable(),
    unreachable_shards: z.array(count),
  }),
);

const shard = z.union([
  z.strictObject({ shard: count, reachable: z.literal(false) }),
  z.strictObject({ shard: count, reachable: z.literal(true), ...queueFields }),
]);
export const queueStatus = component(
  "QueueStatus",
  z.strictObject({
    ...queueFields,
    completed: count,
    cancelled: count,
    superseded: count,
    paused: z.boolean().nullable(),
    unreachable_shards: count,
    shards: z.array(shard).optional(),
  }),
);
export const redriven = component(
  "Redriven",
  z.strictObject({ service_name: z.string(), redriven: count, changed: count, unreachable_shards: count }),
);
export const paused = component("Paused", z.strictObject({ service_name: z.string(), paused: z.boolean() }));

export const setting = recordOf<ConfigRecord>("Setting")(
  z.strictObject({
    service_name: z.string(),
    config_key: z.string(),
    config_value: z.number(),
    config_type: z.literal("integer"),
    default: z.number(),
    minimum: z.number(),
    maximum: z.number(),
    description: z.string(),
    updated_at: time.nullable(),
    updated_by: z.string().nullable(),
  }),
);
export const settings = component("Settings", z.strictObject({ config: z.array(setting) }));

const pageComponent = z.strictObject({
  id: z.string(),
  name: z.string(),
  status: z.enum(["operational", "degraded_performance", "partial_outage", "major_outage"]),
  created_at: time.nullable(),
  updated_at: time.nullable(),
  position: count,
  description: z.string().nullable(),
  showcase: z.boolean(),
  start_date: z.string().nullable(),
  group_id: z.string().nullable(),
  page_id: z.string(),
  group: z.boolean(),
  only_show_if_degraded: z.boolean(),
});
export const pageSummary = recordOf<PageSummary>("StatusPageSummary")(
  z.strictObject({
    page: z.strictObject({ id: z.string(), name: z.string(), url: z.url(), time_zone: z.string(), updated_at: time }),
    status: z.strictObject({ indicator: z.enum(["none", "minor", "major", "critical"]), description: z.string() }),
    components: z.array(pageComponent),
    incidents: z.array(
      z.strictObject({
        id: z.string(),
        name: z.string(),
        status: z.enum(["investigating", "monitoring"]),
        impact: z.enum(["minor", "major", "critical"]),
        created_at: time,
        updated_at: time,
        started_at: time,
        monitoring_at: time.nullable(),
        resolved_at: time.nullable(),
        shortlink: z.url(),
        page_id: z.string(),
        incident_updates: z.array(z.never()),
        components: z.array(pageComponent),
      }),
    ),
    scheduled_maintenances: z.array(z.never()),
  }),
);
