import type { CircuitState, Outcome } from "../shared/protocol";
import type { ServiceMode } from "../shared/records";
import type { CircuitSettings } from "./settings";
import {
  applySettings,
  areTriggersMet,
  type Circuit,
  close,
  isOver,
  moveTo,
  open,
  type Permit,
  permitOf,
  rampRatio,
  settle,
} from "./state";
import { add, createWindow } from "./window";

export { type Circuit, createCircuit, type Permit } from "./state";
export { restore, serialise } from "./stored";
export { admitRatio, view, viewAdmits } from "./view";

interface Rejection {
  readonly admitted: false;
  readonly reason: "open" | "half_open" | "ramp" | "forced";
}

/** A verdict is a value, and on the closed and the open path always the same object. `retryAfterMs` is a function. */
export type Verdict = Permit | Rejection;

const OPEN: Rejection = Object.freeze({ admitted: false, reason: "open" });
const HALF_OPEN: Rejection = Object.freeze({ admitted: false, reason: "half_open" });
const RAMP: Rejection = Object.freeze({ admitted: false, reason: "ramp" });
const FORCED: Rejection = Object.freeze({ admitted: false, reason: "forced" });

/** Asks leave for one call. Every permit is given back with `record`, whatever came of the call. */
export function acquire(circuit: Circuit, now: number, random: () => number): Verdict {
  switch (circuit.state) {
    case "CLOSED":
      return circuit.ramp === null ? circuit.permit : acquireRamping(circuit, now, random);
    case "OPEN":
      if (!isOver(circuit, now)) return OPEN;
      settle(circuit, now);
      return acquireTrial(circuit, now);
    case "HALF_OPEN":
      return acquireTrial(circuit, now);
    case "FORCED_OPEN":
      return FORCED;
    case "FORCED_CLOSED":
    case "METRICS_ONLY":
      return circuit.permit;
  }
}

function acquireRamping(circuit: Circuit, now: number, random: () => number): Verdict {
  const ratio = circuit.ramp === null ? 1 : rampRatio(circuit.ramp, now);
  if (ratio >= 1) circuit.ramp = null;
  return ratio >= 1 || random() < ratio ? circuit.permit : RAMP;
}

/** One trial at a time, and the slot is a timestamp: a trial that hangs loses it after `trialMs`. */
function acquireTrial(circuit: Circuit, now: number): Verdict {
  const startedAt = circuit.trialStartedAt;
  if (startedAt !== null && Math.abs(now - startedAt) < circuit.settings.trialMs) return HALF_OPEN;
  circuit.trial += 1;
  circuit.trialStartedAt = now;
  return permitOf(circuit.generation, circuit.trial);
}

/** Gives a permit back with what came of its call. */
export function record(circuit: Circuit, permit: Permit, outcome: Outcome, now: number, random: () => number): void {
  if (permit.generation !== circuit.generation) return;
  if (permit.trial !== 0) {
    recordTrial(circuit, permit, outcome, now, random);
    return;
  }
  if (outcome === "success") {
    circuit.consecutiveFailures = 0;
    add(circuit.window, now, 1, 0);
  } else if (outcome === "failure") {
    circuit.consecutiveFailures += 1;
    add(circuit.window, now, 0, 1);
    openIfTriggered(circuit, now, random);
  }
}

function recordTrial(circuit: Circuit, permit: Permit, outcome: Outcome, now: number, random: () => number): void {
  // The slot was given to another trial, and what this one says comes too late.
  if (permit.trial !== circuit.trial || circuit.trialStartedAt === null) return;
  circuit.trialStartedAt = null;
  if (outcome === "failure") {
    open(circuit, now, random);
  } else if (outcome === "success") {
    circuit.trialSuccesses += 1;
    closeIfProven(circuit, now);
  }
}

/** The results of one reporter, as far as they move a circuit. */
export interface ReportedCounts {
  readonly success: number;
  readonly failure: number;
  /** Failures since the last success, as the reporter sees it now. */
  readonly consecutiveFailures: number;
}

/**
 * Records a whole report at once. While OPEN it moves nothing. In HALF_OPEN it is evidence only where trials are a
 * ratio of all callers: with probes, a report still tells of calls from before.
 */
export function recordCounts(circuit: Circuit, counts: ReportedCounts, now: number, random: () => number): void {
  settle(circuit, now);
  const { success, failure } = counts;
  if (circuit.state === "HALF_OPEN") {
    if (circuit.settings.trials === "ratio") recordTrialCounts(circuit, success, failure, now, random);
    return;
  }
  if (circuit.state === "OPEN" || circuit.state === "FORCED_OPEN") return;
  circuit.consecutiveFailures = success > 0 ? counts.consecutiveFailures : circuit.consecutiveFailures + failure;
  add(circuit.window, now, success, failure);
  if (failure > 0) openIfTriggered(circuit, now, random);
}

/** Judged by the rate: among many callers one failure is one piece of evidence. */
function recordTrialCounts(
  circuit: Circuit,
  success: number,
  failure: number,
  now: number,
  random: () => number,
): void {
  circuit.trialSuccesses += success;
  circuit.trialFailures += failure;
  const calls = circuit.trialSuccesses + circuit.trialFailures;
  if (failure > 0 && circuit.trialFailures * 100 >= circuit.settings.failureRateThreshold * calls) {
    open(circuit, now, random);
  } else {
    closeIfProven(circuit, now);
  }
}

function openIfTriggered(circuit: Circuit, now: number, random: () => number): void {
  const opensItself = circuit.state === "CLOSED" && circuit.settings.opens === "itself";
  if (opensItself && areTriggersMet(circuit, now)) open(circuit, now, random);
}

function closeIfProven(circuit: Circuit, now: number): void {
  const { trialSuccesses, rampFrom, rampMs } = circuit.settings;
  if (circuit.trialSuccesses < trialSuccesses) return;
  close(circuit, now, { from: rampFrom, startedAt: now, durationMs: rampMs });
}

/** The state now. OPEN turns HALF_OPEN by the clock alone. */
export function stateAt(circuit: Circuit, now: number): CircuitState {
  settle(circuit, now);
  return circuit.state;
}

/** Whether it would be open if it needed nobody's leave: it waits for a second reporter or a probe, and then for `trip`. */
export function isSuspect(circuit: Circuit, now: number): boolean {
  return circuit.state === "CLOSED" && circuit.settings.opens === "when_confirmed" && areTriggersMet(circuit, now);
}

/** Confirmed: opens now. Nothing happens when it is open already, or in a state set by hand. */
export function trip(circuit: Circuit, now: number, random: () => number): void {
  settle(circuit, now);
  if (circuit.state === "CLOSED" || circuit.state === "HALF_OPEN") open(circuit, now, random);
}

/**
 * Sets a mode by hand. `auto` ends a forced state: CLOSED, without a ramp, because somebody has said that the service
 * is well. A circuit that is not forced stays as it is under `auto`.
 */
export function force(circuit: Circuit, mode: ServiceMode, now: number): void {
  settle(circuit, now);
  const state = FORCED_STATES[mode];
  if (state === null) {
    const isForced = circuit.state !== "CLOSED" && circuit.state !== "OPEN" && circuit.state !== "HALF_OPEN";
    if (isForced) close(circuit, now, null);
  } else if (circuit.state !== state) {
    moveTo(circuit, state);
  }
}

const FORCED_STATES: Readonly<Record<ServiceMode, CircuitState | null>> = {
  auto: null,
  forced_open: "FORCED_OPEN",
  forced_closed: "FORCED_CLOSED",
  metrics_only: "METRICS_ONLY",
};

/** Closes an isolate's own circuit because the service-wide one, which knows more, has closed. That one's ramp applies. */
export function closeFromOutside(circuit: Circuit, now: number): void {
  settle(circuit, now);
  if (circuit.state === "OPEN" || circuit.state === "HALF_OPEN") close(circuit, now, null);
}

/** The config has changed: the state stays, and the window's counts too unless its length is another. */
export function configure(circuit: Circuit, settings: CircuitSettings): void {
  if (settings.windowMs !== circuit.settings.windowMs) circuit.window = createWindow(settings.windowMs);
  applySettings(circuit, settings);
}

/** When another try makes sense, ms from now; 0 when calls are admitted. */
export function retryAfterMs(circuit: Circuit, now: number): number {
  const { baseOpenMs, maxOpenMs } = circuit.settings;
  switch (stateAt(circuit, now)) {
    case "OPEN":
      return circuit.openUntil - now;
    case "HALF_OPEN":
      return baseOpenMs;
    case "FORCED_OPEN":
      return maxOpenMs;
    case "CLOSED":
      return circuit.ramp !== null && rampRatio(circuit.ramp, now) < 1 ? baseOpenMs : 0;
    case "FORCED_CLOSED":
    case "METRICS_ONLY":
      return 0;
  }
}
