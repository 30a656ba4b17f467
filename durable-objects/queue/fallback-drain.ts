/**
 * How a shard drains while the ServiceDO does not answer (pure): hold until the last known `open_until`, then one trial
 * at a time; each success doubles what may be in flight, each failure doubles the hold.
 */
import { DEFAULT_CONFIG } from "../../src/shared/config";
import type { CircuitView, DrainGrant, DrainTerms, Outcome } from "../../src/shared/protocol";

export interface FallbackDrain {
  readonly level: number;
  readonly failures: number;
  readonly holdUntil: number;
}

export const IDLE_FALLBACK: FallbackDrain = { level: 1, failures: 0, holdUntil: 0 };

const MAX_LEVEL = 6;
const MAX_HOLD_MS = 60_000;

export function fallbackResult(state: FallbackDrain, outcome: Outcome, now: number): FallbackDrain {
  switch (outcome) {
    case "success":
      return { level: Math.min(MAX_LEVEL, state.level * 2), failures: 0, holdUntil: 0 };
    case "failure": {
      const failures = state.failures + 1;
      return { level: 1, failures, holdUntil: now + Math.min(MAX_HOLD_MS, 1_000 * 2 ** (failures - 1)) };
    }
    case "throttled":
    case "ignored":
      return state;
  }
}

const CLOSED: CircuitView = { state: "CLOSED", generation: 0, openUntil: null, ramp: null };

/** What a shard assumes when it never heard of its ServiceDO. */
const NO_TERMS: DrainTerms = {
  storageId: "",
  version: 0,
  shardCount: DEFAULT_CONFIG.queue.shards,
  circuits: { read: CLOSED, write: CLOSED },
  paused: false,
  config: DEFAULT_CONFIG,
  faults: [],
  clockOffsetMs: 0,
  lastWriteSuccessAt: null,
};

export function fallbackGrant(state: FallbackDrain, terms: DrainTerms | null, now: number): DrainGrant {
  const known = terms ?? NO_TERMS;
  const { state: circuit, openUntil } = known.circuits.write;
  const circuitHold = circuit === "FORCED_OPEN" || known.paused ? now + MAX_HOLD_MS : (openUntil ?? 0);
  const wait = Math.max(circuitHold, state.holdUntil) - now;
  if (wait > 0) return { terms: known, concurrency: 0, operations: 0, retryMs: Math.min(wait, MAX_HOLD_MS) };
  return { terms: known, concurrency: state.level, operations: state.level, retryMs: 0 };
}
