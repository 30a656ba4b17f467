import fc from "fast-check";
import { expect, test } from "vitest";
import {
  acquire,
  admitRatio,
  type Circuit,
  createCircuit,
  force,
  isSuspect,
  type Permit,
  record,
  recordCounts,
  restore,
  retryAfterMs,
  serialise,
  stateAt,
  trip,
  view,
} from "../../../src/circuit/circuit";
import type { CircuitSettings } from "../../../src/circuit/settings";
import type { CircuitState, Outcome } from "../../../src/shared/protocol";
import { ModelCircuit, type ModelPermit } from "./model";
import { type Step, settings, steps } from "./steps";
import { most, T0 } from "./support";

/** A circuit and its model, taken through the same steps. */
class Pair {
  now = T0;
  circuit: Circuit;
  readonly model: ModelCircuit;
  readonly out: { readonly real: Permit; readonly model: ModelPermit }[] = [];

  constructor(of: CircuitSettings) {
    this.circuit = createCircuit(of);
    this.model = new ModelCircuit(of);
  }

  take(step: Step): void {
    switch (step.do) {
      case "advance":
        this.now += step.ms;
        return;
      case "acquire":
        this.acquire(step.drawn);
        return;
      case "record": {
        const permits = this.out[this.out.length === 0 ? 0 : step.which % this.out.length];
        if (permits !== undefined) this.record(permits, step.outcome);
        return;
      }
      case "call":
        for (let call = 0; call < step.times; call += 1) {
          const permits = this.acquire(step.drawn);
          if (permits !== null) this.record(permits, step.outcome);
        }
        return;
      case "report": {
        const { success, failure } = step;
        recordCounts(this.circuit, { success, failure, consecutiveFailures: failure }, this.now, most);
        this.model.report(success, failure, this.now);
        return;
      }
      case "trip":
        trip(this.circuit, this.now, most);
        this.model.trip(this.now);
        return;
      case "force":
        force(this.circuit, step.mode, this.now);
        this.model.force(step.mode, this.now);
        return;
      case "restart":
        this.circuit = restore(serialise(this.circuit), this.circuit.settings);
        this.model.restart();
        // Their callers are gone with the process.
        this.out.length = 0;
        return;
    }
  }

  private acquire(drawn: number): { real: Permit; model: ModelPermit } | null {
    const real = acquire(this.circuit, this.now, () => drawn);
    const model = this.model.admits(this.now, drawn);
    expect(real.admitted ? { generation: real.generation, trial: real.trial } : null).toEqual(model);
    if (!real.admitted || model === null) return null;
    const permits = { real, model };
    this.out.push(permits);
    return permits;
  }

  private record(permits: { real: Permit; model: ModelPermit }, outcome: Outcome): void {
    record(this.circuit, permits.real, outcome, this.now, most);
    this.model.record(permits.model, outcome, this.now);
  }

  compare(): void {
    const { circuit, model, now } = this;
    model.lookAt(now);
    const seen = view(circuit, now);
    expect(seen).toMatchObject({
      state: model.state,
      generation: model.generation,
      openUntil: model.state === "OPEN" ? model.openUntil : null,
    });
    expect(isSuspect(circuit, now)).toBe(model.isSuspect(now));
    if (model.state === "CLOSED") expect(admitRatio(seen, now)).toBeCloseTo(model.share(now), 9);
    expect(retryAfterMs(circuit, now)).toBeLessThanOrEqual(circuit.settings.maxOpenMs);
  }
}

test("a circuit decides as its reference model, in any interleaving of calls, reports, time, modes and restarts", () => {
  fc.assert(
    fc.property(settings, steps, (given, taken) => {
      const pair = new Pair(given);
      for (const step of taken) {
        pair.take(step);
        pair.compare();
      }
    }),
    { numRuns: 1_000 },
  );
});

test("nobody has to look: a circuit that is asked at the end only gives the answer of one that was asked all along", () => {
  fc.assert(
    fc.property(settings, steps, (given, taken) => {
      const watched = new Pair(given);
      const unwatched = new Pair(given);
      for (const step of taken) {
        watched.take(step);
        stateAt(watched.circuit, watched.now);
        unwatched.take(step);
      }
      expect(view(unwatched.circuit, unwatched.now)).toEqual(view(watched.circuit, watched.now));
    }),
  );
});

/** How each state may be left by a single call, report or moment. Modes by hand may lead from anywhere to anywhere. */
const MOVES: Readonly<Record<CircuitState, readonly CircuitState[]>> = {
  CLOSED: ["OPEN"],
  OPEN: ["HALF_OPEN"],
  HALF_OPEN: ["OPEN", "CLOSED"],
  FORCED_OPEN: [],
  FORCED_CLOSED: [],
  METRICS_ONLY: [],
};

test("only the moves of the state machine happen, and each starts a generation", () => {
  fc.assert(
    fc.property(settings, steps, (given, taken) => {
      const pair = new Pair(given);
      for (const step of taken) {
        const { state, generation } = view(pair.circuit, pair.now);
        pair.take(step.do === "call" ? { ...step, times: 1 } : step);
        const after = view(pair.circuit, pair.now);
        expect(after.generation === generation).toBe(after.state === state);
        if (step.do !== "force") expect([state, ...MOVES[state]]).toContain(after.state);
      }
    }),
  );
});

test("it always recovers: left alone, every circuit that is not forced open admits a call again, and closes after good trials", () => {
  fc.assert(
    fc.property(settings, steps, (given, taken) => {
      const pair = new Pair(given);
      for (const step of taken) pair.take(step);
      force(pair.circuit, "auto", pair.now);
      const now = pair.now + given.maxOpenMs + given.trialMs;
      for (let trial = 0; trial < given.trialSuccesses; trial += 1) {
        const verdict = acquire(pair.circuit, now, () => 0);
        expect(verdict.admitted).toBe(true);
        if (verdict.admitted) record(pair.circuit, verdict, "success", now, most);
      }
      expect(stateAt(pair.circuit, now)).toBe("CLOSED");
    }),
  );
});
