import type { CircuitState, Ramp } from "../shared/protocol";
import type { CircuitSettings } from "./settings";
import { applySettings, type Circuit, createCircuit, permitOf } from "./state";

const VERSION = 1;

const STATES: ReadonlySet<unknown> = new Set<CircuitState>([
  "CLOSED",
  "OPEN",
  "HALF_OPEN",
  "FORCED_OPEN",
  "FORCED_CLOSED",
  "METRICS_ONLY",
]);

/** What outlives the process: everything but the window, the run of failures and the trial slot. */
type Kept = Pick<
  Circuit,
  "state" | "generation" | "openedAt" | "openUntil" | "openings" | "closedAt" | "ramp" | "trialSuccesses"
>;

/** JSON for storage. */
export function serialise(circuit: Circuit): string {
  const { state, generation, openedAt, openUntil, openings, closedAt, ramp, trialSuccesses } = circuit;
  const kept: Kept = { state, generation, openedAt, openUntil, openings, closedAt, ramp, trialSuccesses };
  return JSON.stringify({ version: VERSION, ...kept });
}

/** The circuit of a stored text. Whatever is not such a text gives a closed circuit; it never throws. */
export function restore(text: string, settings: CircuitSettings): Circuit {
  const circuit = createCircuit(settings);
  const kept = parse(text);
  if (kept === null) return circuit;
  Object.assign(circuit, kept, { permit: permitOf(kept.generation, 0) });
  applySettings(circuit, settings);
  return circuit;
}

function parse(text: string): Kept | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value) || value.version !== VERSION) return null;
  const { state, generation, openedAt, openUntil, openings, closedAt, ramp, trialSuccesses } = value;
  const isKept =
    isState(state) &&
    isCount(generation) &&
    isTime(openedAt) &&
    isTime(openUntil) &&
    isCount(openings) &&
    isTime(closedAt) &&
    (ramp === null || isRamp(ramp)) &&
    isCount(trialSuccesses);
  return isKept ? { state, generation, openedAt, openUntil, openings, closedAt, ramp, trialSuccesses } : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isState(value: unknown): value is CircuitState {
  return STATES.has(value);
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && isTime(value);
}

function isRamp(value: unknown): value is Ramp {
  return (
    isRecord(value) && isTime(value.from) && value.from <= 1 && isTime(value.startedAt) && isTime(value.durationMs)
  );
}
