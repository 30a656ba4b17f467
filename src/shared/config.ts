/** The table of `failover_config`: every key with its default, bounds and meaning. The only place where they stand. */

export interface ConfigRule {
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly description: string;
}

const rule = (value: number, minimum: number, maximum: number, description: string): ConfigRule => ({
  default: value,
  minimum,
  maximum,
  description,
});

const HOUR = 3_600_000;
const GIB = 1024 ** 3;

/** Keys of a service (`R2_STORAGE` or any other name). */
export const SERVICE_CONFIG = {
  max_retries: rule(3, 0, 100, "retries of one operation that are charged to it, after its first try"),
  retry_delay_ms: rule(1_000, 1, HOUR, "first retry delay; doubles up to 5 min, with full jitter"),
  circuit_breaker_threshold: rule(5, 1, 1_000, "consecutive failures that open a circuit"),
  circuit_breaker_timeout: rule(60_000, 100, HOUR, "cap of the open time; the first open time is 1 s"),
  health_check_interval: rule(30_000, 1_000, HOUR, "time between probes in calm"),
  failure_rate_threshold: rule(50, 1, 100, "failure rate, percent, that opens a circuit"),
  minimum_calls: rule(20, 1, 10_000, "calls in the window before the failure rate counts"),
  window_ms: rule(10_000, 1_000, 600_000, "sliding time window of the failure rate"),
  read_timeout_ms: rule(10_000, 10, 600_000, "deadline of a read while R2 owes an answer"),
  write_timeout_ms: rule(30_000, 10, 600_000, "deadline of a write while R2 owes an answer"),
  lease_cap_ms: rule(30_000, 100, 600_000, "longest life of a snapshot in an isolate"),
  report_budget_per_s: rule(100, 1, 1_000, "requests per second to one service's object, all isolates together"),
  read_cache_max_bytes: rule(0, 0, 104_857_600, "largest object kept in the read cache, bytes; 0 is off"),
} as const;

/** Keys of the queue, the same for every service. */
export const QUEUE_CONFIG = {
  max_queue_size: rule(1_000, 0, 10_000_000, "queued operations per service; 0 bounds by bytes only"),
  max_queue_bytes: rule(GIB, 0, 640 * GIB, "queued payload bytes per service"),
  batch_size: rule(10, 1, 1_000, "operations that one claim takes"),
  processing_interval: rule(5_000, 100, HOUR, "longest wait between looks while operations are ready"),
  retention_days: rule(7, 1, 365, "days that final operations are kept; dead letters are never swept"),
  max_dead_letters: rule(1_000, 0, 10_000_000, "dead letters per service, beside the bound above"),
  shards: rule(8, 1, 64, "queue objects per service, fixed at first use"),
} as const;

export const NOTIFICATION_CONFIG = {
  max_notifications_per_user: rule(100, 1, 10_000, "notifications kept per user"),
  notification_retention_days: rule(30, 1, 3_650, "days that notifications are kept"),
} as const;

export type ServiceConfigKey = keyof typeof SERVICE_CONFIG;
export type QueueConfigKey = keyof typeof QUEUE_CONFIG;
export type ServiceConfig = Record<ServiceConfigKey, number>;
export type QueueConfig = Record<QueueConfigKey, number>;

/** The config that is in force for one service: its own keys and the queue's. */
export interface EffectiveConfig {
  readonly service: ServiceConfig;
  readonly queue: QueueConfig;
}

/** Config of services that is not theirs to name: the sections shared by all. */
export const QUEUE_SECTION = "OPERATION_QUEUE";
export const NOTIFICATION_SECTION = "NOTIFICATIONS";

/** The rules of a section: `OPERATION_QUEUE`, `NOTIFICATIONS`, else a service. */
export function configRules(section: string): Readonly<Record<string, ConfigRule>> {
  if (section === QUEUE_SECTION) return QUEUE_CONFIG;
  if (section === NOTIFICATION_SECTION) return NOTIFICATION_CONFIG;
  return SERVICE_CONFIG;
}

function defaults<K extends string>(rules: Readonly<Record<K, ConfigRule>>): Record<K, number> {
  return Object.fromEntries(Object.entries<ConfigRule>(rules).map(([key, r]) => [key, r.default])) as Record<K, number>;
}

export const DEFAULT_CONFIG: EffectiveConfig = { service: defaults(SERVICE_CONFIG), queue: defaults(QUEUE_CONFIG) };

/** `null` when `value` is allowed for the rule, else a sentence that says what is. */
export function configProblem(configRule: ConfigRule, value: unknown): string | null {
  const { minimum, maximum } = configRule;
  if (typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum) return null;
  return `must be a whole number from ${minimum} to ${maximum}`;
}
