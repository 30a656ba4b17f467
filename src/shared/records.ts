/** The JSON records of API.md §2. Times are ISO 8601 UTC strings, rates percent 0-100. */
import type { CircuitState, OperationStatus } from "./protocol";

export const SERVICE_STATUSES = ["HEALTHY", "DEGRADED", "RECOVERING", "OFFLINE"] as const;
export type ServiceStatus = (typeof SERVICE_STATUSES)[number];

export interface HealthMetrics {
  response_time_ms: number;
  error_rate: number;
  success_rate: number;
  consecutive_failures: number;
  last_health_check: string | null;
}

export interface CircuitRecord {
  state: CircuitState;
  /** Share of calls admitted, 0-1. */
  admit: number;
  open_until: string | null;
}

export interface ServiceRecord {
  service_name: string;
  status: ServiceStatus;
  circuit_breaker_state: CircuitState;
  circuits: { read: CircuitRecord; write: CircuitRecord };
  health_metrics: HealthMetrics;
  /** Only with a token. */
  degradation_reason: string | null;
  read_only: boolean;
  updated_at: string;
}

/** Latency percentiles, ms; null without calls. */
export interface PercentilesRecord {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

/** Calls of one class in one minute. `rejected`: refused by an open circuit. */
export interface ClassRollupRecord extends PercentilesRecord {
  success: number;
  failure: number;
  throttled: number;
  ignored: number;
  rejected: number;
}

export interface RollupRecord {
  started_at: string;
  read: ClassRollupRecord;
  write: ClassRollupRecord;
}

/** Percent, rounded down to four places; null: no data. */
export interface ClassAvailability {
  time_based: number | null;
  request_based: number | null;
}

/** Against the period before. */
export type AvailabilityTrend = "up" | "flat" | "down";

export interface AvailabilityRecord extends ClassAvailability {
  service_name: string;
  hours: number;
  by_class: { read: ClassAvailability; write: ClassAvailability };
  /** Of the period, how long the state was known: `time_based` is of this. */
  observed_ms: number;
  downtime_ms: number;
  /** Of the period, how long counts of calls are missing that an evicted object had not stored yet. */
  metrics_gap_ms: number;
  /** Of `time_based`; null when either period has no data. */
  trend: AvailabilityTrend | null;
  /** When the service was down, newest first. `to` null: it still is. */
  intervals: { status: ServiceStatus; from: string; to: string | null }[];
}

/** From when a service was degraded or offline until it was healthy again, its queue drained. */
export interface IncidentRecord {
  incident_id: string;
  service_name: string;
  opened_at: string;
  closed_at: string | null;
  /** Only with a token. */
  reason: string | null;
  /** The worst that was seen. `error_rate` is percent. */
  peak: { status: ServiceStatus; queue_size: number; error_rate: number };
  operations_queued: number;
  /** Accepted, and neither waiting, parked nor ended: anything but 0 is a defect of ours. */
  operations_lost: number;
}

export interface ServiceHistoryRecord {
  /** Of the last hour. */
  percentiles: { read: PercentilesRecord; write: PercentilesRecord };
  /** Minutes of the last hour in which calls were reported, newest first. */
  rollups: RollupRecord[];
  availability: Record<"1h" | "24h" | "7d" | "30d" | "90d", ClassAvailability>;
  /** Of the last 24 hours. */
  metrics_gap_ms: number;
}

export interface QueueRecord {
  total_size: number;
  pending: number;
  processing: number;
  failed: number;
  bytes: number;
  oldest_age_ms: number | null;
  drained_in_ms: number | null;
  full_in_ms: number | null;
}

export interface QueueStatusRecord extends QueueRecord {
  completed: number;
  cancelled: number;
  superseded: number;
  paused: boolean;
  shards?: ({ shard: number; reachable: boolean } & Partial<QueueRecord>)[];
}

export interface SystemStatusRecord {
  overall_status: ServiceStatus;
  message: string;
  degraded: boolean;
  read_only: boolean;
  timestamp: string;
  last_check: string | null;
  total_services: number;
  healthy_services: number;
  degraded_services: number;
  offline_services: number;
  services: { service_name: string; status: ServiceStatus }[];
  queue: QueueRecord;
}

export interface OperationRecord {
  operation_id: string;
  operation_type: "UPLOAD" | "DELETE" | "MULTIPART_UPLOAD";
  service_name: string;
  key: string;
  status: OperationStatus;
  priority: number;
  user_id: string | null;
  file_id: string | null;
  retry_count: number;
  max_retries: number;
  size: number;
  etag: string | null;
  error_message: string | null;
  created_at: string;
  scheduled_at: string;
  completed_at: string | null;
}

export interface ObjectRecord {
  key: string;
  size: number;
  etag: string;
  uploaded: string;
  /** Empty unless `include` names it; likewise `custom_metadata`. */
  http_metadata: Partial<
    Record<
      | "content_type"
      | "content_language"
      | "content_disposition"
      | "content_encoding"
      | "cache_control"
      | "cache_expiry",
      string | undefined
    >
  >;
  custom_metadata: Record<string, string>;
}

export interface ObjectListRecord {
  objects: ObjectRecord[];
  delimited_prefixes: string[];
  truncated: boolean;
  cursor: string | null;
  /** R2 could not be listed: this is what is queued, alone. */
  partial: boolean;
}

export interface ConfigRecord {
  service_name: string;
  config_key: string;
  config_value: number;
  config_type: "integer";
  default: number;
  minimum: number;
  maximum: number;
  description: string;
  updated_at: string | null;
  updated_by: string | null;
}

export interface EventRecord {
  /** Its number in the sequence that it was read from: the service's own, or the system feed's. No number is missing. */
  seq: number;
  event_type: EventType;
  event_category: EventCategory;
  service_name: string;
  severity: Severity;
  /** Empty without a token. */
  event_data: Record<string, unknown>;
  created_at: string;
}

/** An event before it has a number. */
export type RecordedEvent = Omit<EventRecord, "seq" | "service_name">;

export const SEVERITIES = ["INFO", "WARNING", "ERROR", "CRITICAL"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const EVENT_CATEGORIES = [
  "STATUS",
  "CIRCUIT",
  "FAILOVER",
  "QUEUE",
  "ACTION",
  "CONFIG",
  "FAULT",
  "SYSTEM",
] as const;
export type EventCategory = (typeof EVENT_CATEGORIES)[number];

/** Every type of event, with the category that it belongs to. */
export const EVENT_CATEGORY = {
  SERVICE_STATUS_CHANGED: "STATUS",
  CIRCUIT_STATE_CHANGED: "CIRCUIT",
  PROBE_FAILED: "CIRCUIT",
  /** Reads or writes were answered by the queue or the read cache. The first at once, then at most one a minute. */
  FAILOVER_ACTIVATED: "FAILOVER",
  MODE_CHANGED: "ACTION",
  MONITORING_STARTED: "ACTION",
  MONITORING_STOPPED: "ACTION",
  FAULTS_CHANGED: "FAULT",
  /** Somebody set a key. */
  CONFIG_SET: "CONFIG",
  /** What was set is in force in a service. */
  CONFIG_CHANGED: "CONFIG",
  QUEUE_PAUSED: "QUEUE",
  QUEUE_RESUMED: "QUEUE",
  QUEUE_FIRST_QUEUED: "QUEUE",
  QUEUE_HALF_FULL: "QUEUE",
  /** 80 %. */
  QUEUE_NEARLY_FULL: "QUEUE",
  QUEUE_FULL: "QUEUE",
  QUEUE_DRAINED: "QUEUE",
  SHARD_BUSY: "QUEUE",
  SHARD_CALM: "QUEUE",
  OPERATION_COMPLETED: "QUEUE",
  OPERATION_SUPERSEDED: "QUEUE",
  OPERATION_DEAD_LETTERED: "QUEUE",
  OPERATION_CANCELLED: "ACTION",
  OPERATION_RETRIED: "ACTION",
  OPERATION_PAYLOAD_READ: "ACTION",
  QUEUE_REDRIVEN: "ACTION",
  QUEUE_EXPORTED: "ACTION",
  /** Events of a source that could not be delivered for so long that it did not keep them. */
  EVENTS_LOST: "SYSTEM",
} as const satisfies Record<string, EventCategory>;
export type EventType = keyof typeof EVENT_CATEGORY;
export const EVENT_TYPES = Object.keys(EVENT_CATEGORY) as EventType[];

/** An event of now, in its category. */
export function recordedEvent(
  type: EventType,
  severity: Severity,
  data: Record<string, unknown>,
  now: number,
): RecordedEvent {
  return {
    event_type: type,
    event_category: EVENT_CATEGORY[type],
    severity,
    event_data: data,
    created_at: new Date(now).toISOString(),
  };
}

export type ServiceMode = "auto" | "forced_open" | "forced_closed" | "metrics_only";

/** Who did something by hand, and in which request. */
export interface Actor {
  readonly actor: string;
  readonly requestId: string;
}
