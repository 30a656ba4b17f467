import { acquire, type Circuit, createCircuit, type Permit, record, view } from "../../../src/circuit/circuit";
import { type CircuitSettings, circuitSettings } from "../../../src/circuit/settings";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import type { Outcome, Snapshot } from "../../../src/shared/protocol";

/** 2025-02-06 08:14 UTC, on a bucket's edge of every window used here. */
export const T0 = 1_738_829_640_000;

/** The jitter's upper end: open times are exact. */
export const most = (): number => 1 - Number.EPSILON / 2;
export const least = (): number => 0;

export const ISOLATE = circuitSettings(DEFAULT_CONFIG.service, "isolate");
const SERVICE = circuitSettings(DEFAULT_CONFIG.service, "service");

export function isolateCircuit(changes: Partial<CircuitSettings> = {}): Circuit {
  return createCircuit({ ...ISOLATE, ...changes });
}

export function serviceCircuit(changes: Partial<CircuitSettings> = {}): Circuit {
  return createCircuit({ ...SERVICE, ...changes });
}

/** A permit, or a failed test. */
export function permit(circuit: Circuit, now: number, random = least): Permit {
  const verdict = acquire(circuit, now, random);
  if (!verdict.admitted) throw new Error(`rejected: ${verdict.reason}`);
  return verdict;
}

const OUTCOMES: Readonly<Record<string, Outcome>> = { s: "success", f: "failure", t: "throttled", i: "ignored" };

/** Calls one after another at the same moment, a letter each; a call that is rejected is left out. */
export function calls(circuit: Circuit, letters: string, now: number): void {
  for (const letter of letters) {
    const outcome = OUTCOMES[letter];
    if (outcome === undefined) throw new Error(`no outcome is written "${letter}"`);
    const verdict = acquire(circuit, now, least);
    if (verdict.admitted) record(circuit, verdict, outcome, now, most);
  }
}

/** An isolate's circuit that opened at `T0` for exactly 1 s. */
export function openedCircuit(changes: Partial<CircuitSettings> = {}): Circuit {
  const circuit = isolateCircuit(changes);
  calls(circuit, "f".repeat(circuit.settings.threshold), T0);
  return circuit;
}

/** A snapshot of a healthy service, as one isolate alone gets it. */
export function snapshotOf(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    service: "R2_STORAGE",
    storageId: "storage",
    version: 1,
    issuedAt: T0,
    leaseMs: 5_000,
    reportAfterOutcomes: 1_000,
    circuits: { read: view(isolateCircuit(), T0), write: view(isolateCircuit(), T0) },
    readOnly: false,
    shardCount: 8,
    shards: [],
    config: DEFAULT_CONFIG,
    faults: [],
    clockOffsetMs: 0,
    ...changes,
  };
}
