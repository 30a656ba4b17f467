import type { ServiceConfig } from "../shared/config";

/** What a circuit goes by. Times are ms, `failureRateThreshold` is percent, ratios are 0-1. */
export interface CircuitSettings {
  /** Consecutive failures that trip it. */
  readonly threshold: number;
  readonly failureRateThreshold: number;
  /** Calls in the window before the rate counts. */
  readonly minimumCalls: number;
  readonly windowMs: number;
  /** The first open time; doubles with every opening in a row, up to `maxOpenMs`. */
  readonly baseOpenMs: number;
  readonly maxOpenMs: number;
  /** Closed for this long, it starts again from `baseOpenMs`. */
  readonly stableMs: number;
  /** Successful trials that close it. */
  readonly trialSuccesses: number;
  /** A trial that has not ended by then gives its slot away. */
  readonly trialMs: number;
  readonly rampMs: number;
  readonly rampFrom: number;
  /** `probes`: HALF_OPEN admits nobody but the owner's probes. `ratio`: a small share of all callers. */
  readonly trials: "probes" | "ratio";
  readonly halfOpenRatio: number;
  /** `when_confirmed`: the triggers only make it suspect, and `trip` opens it. */
  readonly opens: "itself" | "when_confirmed";
}

const BASE_OPEN_MS = 1_000;
const RAMP_MS = 10_000;
const TRIAL_MS = 10_000;

/**
 * The settings of a service-wide circuit, or of an isolate's own one, which needs nobody's leave and has no probes.
 * A short `circuit_breaker_timeout` shortens the ramp and the stable period with it.
 */
export function circuitSettings(
  config: ServiceConfig,
  role: "isolate" | "service",
  trials: CircuitSettings["trials"] = role === "service" ? "probes" : "ratio",
): CircuitSettings {
  const maxOpenMs = config.circuit_breaker_timeout;
  return {
    threshold: config.circuit_breaker_threshold,
    failureRateThreshold: config.failure_rate_threshold,
    minimumCalls: config.minimum_calls,
    windowMs: config.window_ms,
    baseOpenMs: Math.min(BASE_OPEN_MS, maxOpenMs),
    maxOpenMs,
    stableMs: maxOpenMs,
    trialSuccesses: 2,
    trialMs: Math.min(TRIAL_MS, config.write_timeout_ms),
    rampMs: Math.min(RAMP_MS, maxOpenMs),
    rampFrom: 0.1,
    trials,
    halfOpenRatio: 0.1,
    opens: role === "isolate" ? "itself" : "when_confirmed",
  };
}
