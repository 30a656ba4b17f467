import type { CircuitState, Ramp } from "../shared/protocol";
import type { CircuitSettings } from "./settings";
import { clear, createWindow, expire, type Window } from "./window";

/**
 * Leave to make one call, given back with its result. A result whose generation has passed moves nothing.
 * `trial` is the number of the trial slot that the call holds; 0: an ordinary call.
 */
export interface Permit {
  readonly admitted: true;
  readonly generation: number;
  readonly trial: number;
}

/**
 * One circuit.
 *
 * - CLOSED admits all, or a climbing share while `ramp` is set. The triggers (a run of failures, a failure rate) open
 *   it, or make it suspect until it is tripped.
 * - OPEN rejects until `openUntil`. From then on it is HALF_OPEN, whether or not anybody has looked: see `isOver`.
 * - HALF_OPEN admits one trial at a time. A failed one opens it again for longer, enough successes close it with a ramp.
 * - FORCED_OPEN, FORCED_CLOSED and METRICS_ONLY are left by hand only. The last two admit all and count.
 *
 * Every change of state goes through `moveTo`: it starts a generation, with empty evidence.
 */
export interface Circuit {
  settings: CircuitSettings;
  state: CircuitState;
  generation: number;
  /** The permit of all ordinary calls of this generation: admitting one allocates nothing. */
  permit: Permit;
  window: Window;
  /** Failures since the last success, at any distance in time: slow timeouts are a run too. */
  consecutiveFailures: number;
  openedAt: number;
  openUntil: number;
  /** Openings in a row, without a stable closed period in between. */
  openings: number;
  closedAt: number;
  ramp: Ramp | null;
  /** Number of the newest trial of this generation, and whether and since when it holds the slot. */
  trial: number;
  trialStartedAt: number | null;
  trialSuccesses: number;
  trialFailures: number;
}

export function createCircuit(settings: CircuitSettings): Circuit {
  return {
    settings,
    state: "CLOSED",
    generation: 1,
    permit: permitOf(1, 0),
    window: createWindow(settings.windowMs),
    consecutiveFailures: 0,
    openedAt: 0,
    openUntil: 0,
    openings: 0,
    closedAt: 0,
    ramp: null,
    trial: 0,
    trialStartedAt: null,
    trialSuccesses: 0,
    trialFailures: 0,
  };
}

export function permitOf(generation: number, trial: number): Permit {
  return Object.freeze({ admitted: true, generation, trial });
}

/**
 * Whether the open time has run out: also when the clock was set back by more than the cap, which would prolong it.
 * (A `now` that was read shortly before it opened is no clock set back.)
 */
export function isOver(circuit: Circuit, now: number): boolean {
  return now >= circuit.openUntil || now < circuit.openedAt - circuit.settings.maxOpenMs;
}

/** The share of calls that a ramp admits now, 0-1; 1 once it is over, and when a clock set back would prolong it. */
export function rampRatio(ramp: Ramp, now: number): number {
  const elapsed = now - ramp.startedAt;
  if (elapsed >= ramp.durationMs || elapsed < -ramp.durationMs) return 1;
  return ramp.from + (1 - ramp.from) * (Math.max(0, elapsed) / ramp.durationMs);
}

/** Whether its evidence calls for opening: a run of failures, or a failure rate. A ramp needs fewer calls, since it admits fewer. */
export function areTriggersMet(circuit: Circuit, now: number): boolean {
  const { settings, window } = circuit;
  if (circuit.consecutiveFailures >= settings.threshold) return true;
  expire(window, now);
  const calls = window.success + window.failure;
  const isRamping = circuit.ramp !== null && rampRatio(circuit.ramp, now) < 1;
  const minimumCalls = isRamping ? Math.min(settings.minimumCalls, settings.threshold) : settings.minimumCalls;
  return calls >= minimumCalls && window.failure * 100 >= settings.failureRateThreshold * calls;
}

/** Opens for base × 2^n, capped, of which a random half to the whole, so that not all circuits come back at once. */
export function open(circuit: Circuit, now: number, random: () => number): void {
  const { baseOpenMs, maxOpenMs, stableMs } = circuit.settings;
  const isStable = circuit.state === "CLOSED" && now - circuit.closedAt >= stableMs;
  circuit.openings = isStable ? 1 : circuit.openings + 1;
  const openMs = Math.min(baseOpenMs * 2 ** (circuit.openings - 1), maxOpenMs);
  moveTo(circuit, "OPEN");
  circuit.openedAt = now;
  circuit.openUntil = now + Math.ceil(openMs * (0.5 + 0.5 * random()));
}

/** Closes: after trials with a ramp, by hand without one. */
export function close(circuit: Circuit, now: number, ramp: Ramp | null): void {
  moveTo(circuit, "CLOSED");
  circuit.closedAt = now;
  circuit.ramp = ramp;
}

/** Makes stored what the clock has already decided: OPEN is HALF_OPEN once its time is over. */
export function settle(circuit: Circuit, now: number): void {
  if (circuit.state === "OPEN" && isOver(circuit, now)) moveTo(circuit, "HALF_OPEN");
}

export function moveTo(circuit: Circuit, state: CircuitState): void {
  circuit.state = state;
  circuit.generation += 1;
  circuit.permit = permitOf(circuit.generation, 0);
  circuit.consecutiveFailures = 0;
  clear(circuit.window);
  circuit.openedAt = 0;
  circuit.openUntil = 0;
  circuit.ramp = null;
  circuit.trial = 0;
  circuit.trialStartedAt = null;
  circuit.trialSuccesses = 0;
  circuit.trialFailures = 0;
}

/** Goes by other settings from now on: an open time longer than a lowered cap ends at the cap. */
export function applySettings(circuit: Circuit, settings: CircuitSettings): void {
  circuit.settings = settings;
  circuit.openUntil = Math.min(circuit.openUntil, circuit.openedAt + settings.maxOpenMs);
}
