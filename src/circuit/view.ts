import type { CircuitView } from "../shared/protocol";
import { type Circuit, rampRatio, settle } from "./state";

/** The circuit as others see it. */
export function view(circuit: Circuit, now: number): CircuitView {
  settle(circuit, now);
  const { state, generation, settings, ramp } = circuit;
  const seen: CircuitView = {
    state,
    generation,
    openUntil: state === "OPEN" ? circuit.openUntil : null,
    ramp: ramp !== null && rampRatio(ramp, now) < 1 ? ramp : null,
  };
  return state === "HALF_OPEN" && settings.trials === "ratio" ? { ...seen, trialRatio: settings.halfOpenRatio } : seen;
}

/** The share of calls that a view admits, 0-1. An OPEN view stays shut past its time: its owner tries first. */
export function admitRatio(seen: CircuitView, now: number): number {
  switch (seen.state) {
    case "CLOSED":
      return seen.ramp === null ? 1 : rampRatio(seen.ramp, now);
    case "HALF_OPEN":
      return seen.trialRatio ?? 0;
    case "OPEN":
    case "FORCED_OPEN":
      return 0;
    case "FORCED_CLOSED":
    case "METRICS_ONLY":
      return 1;
  }
}

export function viewAdmits(seen: CircuitView, now: number, random: () => number): boolean {
  const ratio = admitRatio(seen, now);
  return ratio >= 1 || (ratio > 0 && random() < ratio);
}
