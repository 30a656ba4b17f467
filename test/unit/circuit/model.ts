import type { CircuitSettings } from "../../../src/circuit/settings";
import type { CircuitState, Outcome } from "../../../src/shared/protocol";
import type { ServiceMode } from "../../../src/shared/records";

interface Result {
  readonly at: number;
  readonly ok: boolean;
}

export interface ModelPermit {
  readonly generation: number;
  readonly trial: number;
}

/**
 * The reference model of a circuit: slow, and meant to be obviously right. It keeps every result with its time and
 * counts them again for each decision; `era` is what happened since the state was entered.
 */
export class ModelCircuit {
  state: CircuitState = "CLOSED";
  generation = 1;
  enteredAt = 0;
  openUntil = 0;
  openings = 0;
  hasRamp = false;
  results: Result[] = [];
  trials: { readonly startedAt: number; ended: boolean }[] = [];
  trialResults: boolean[] = [];

  constructor(readonly settings: CircuitSettings) {}

  lookAt(now: number): void {
    if (this.state === "OPEN" && now >= this.openUntil) this.enter("HALF_OPEN", now);
  }

  admits(now: number, drawn: number): ModelPermit | null {
    this.lookAt(now);
    if (this.state === "OPEN" || this.state === "FORCED_OPEN") return null;
    if (this.state === "HALF_OPEN") {
      const newest = this.trials.at(-1);
      if (newest !== undefined && !newest.ended && now < newest.startedAt + this.settings.trialMs) return null;
      this.trials.push({ startedAt: now, ended: false });
      return { generation: this.generation, trial: this.trials.length };
    }
    return drawn < this.share(now) ? { generation: this.generation, trial: 0 } : null;
  }

  share(now: number): number {
    if (this.state !== "CLOSED" || !this.hasRamp) return 1;
    const { rampFrom, rampMs } = this.settings;
    return Math.min(1, rampFrom + ((1 - rampFrom) * (now - this.enteredAt)) / rampMs);
  }

  record(permit: ModelPermit, outcome: Outcome, now: number): void {
    if (permit.generation !== this.generation) return;
    if (permit.trial > 0) {
      const trial = this.trials[permit.trial - 1];
      if (trial === undefined || trial.ended || permit.trial !== this.trials.length) return;
      trial.ended = true;
      if (outcome === "failure") this.openNow(now);
      if (outcome === "success") this.addTrials([true], now);
      return;
    }
    if (outcome === "success" || outcome === "failure") this.addResults([{ at: now, ok: outcome === "success" }], now);
  }

  /** A report whose failures all come after its successes. */
  report(success: number, failure: number, now: number): void {
    this.lookAt(now);
    const oks = [...Array<boolean>(success).fill(true), ...Array<boolean>(failure).fill(false)];
    if (this.state === "HALF_OPEN") {
      if (this.settings.trials === "ratio") this.addTrials(oks, now);
    } else if (this.state !== "OPEN" && this.state !== "FORCED_OPEN") {
      this.addResults(
        oks.map((ok) => ({ at: now, ok })),
        now,
      );
    }
  }

  force(mode: ServiceMode, now: number): void {
    // An open time that is over has ended, whether or not anybody has looked: the mode comes after that.
    this.lookAt(now);
    if (mode === "auto") {
      if (["FORCED_OPEN", "FORCED_CLOSED", "METRICS_ONLY"].includes(this.state)) this.enter("CLOSED", now);
      return;
    }
    const state = mode === "forced_open" ? "FORCED_OPEN" : mode === "forced_closed" ? "FORCED_CLOSED" : "METRICS_ONLY";
    if (this.state !== state) this.enter(state, now);
  }

  trip(now: number): void {
    this.lookAt(now);
    if (this.state === "CLOSED" || this.state === "HALF_OPEN") this.openNow(now);
  }

  isSuspect(now: number): boolean {
    return this.state === "CLOSED" && this.settings.opens === "when_confirmed" && this.calls(now);
  }

  /** Stored and restored: evidence and the slot are gone, successful trials stay. */
  restart(): void {
    this.results = [];
    this.trials = [];
    this.trialResults = this.trialResults.filter((ok) => ok);
  }

  private addTrials(oks: readonly boolean[], now: number): void {
    this.trialResults.push(...oks);
    const failures = this.trialResults.filter((ok) => !ok).length;
    const isBad = failures / this.trialResults.length >= this.settings.failureRateThreshold / 100;
    if (oks.includes(false) && isBad) {
      this.openNow(now);
    } else if (this.trialResults.length - failures >= this.settings.trialSuccesses) {
      this.enter("CLOSED", now);
      this.hasRamp = true;
    }
  }

  private addResults(results: readonly Result[], now: number): void {
    this.results.push(...results);
    const opensItself = this.state === "CLOSED" && this.settings.opens === "itself";
    if (opensItself && results.some(({ ok }) => !ok) && this.calls(now)) this.openNow(now);
  }

  /** Whether the evidence calls for opening. */
  private calls(now: number): boolean {
    const { threshold, minimumCalls, failureRateThreshold, windowMs } = this.settings;
    const run = this.results.length - 1 - this.results.findLastIndex(({ ok }) => ok);
    const bucketOf = (at: number): number => Math.floor(at / (windowMs / 10));
    const recent = this.results.filter(({ at }) => bucketOf(at) > bucketOf(now) - 10);
    const failures = recent.filter(({ ok }) => !ok).length;
    const needed = this.share(now) < 1 ? Math.min(threshold, minimumCalls) : minimumCalls;
    return run >= threshold || (recent.length >= needed && failures / recent.length >= failureRateThreshold / 100);
  }

  private openNow(now: number): void {
    const isStable = this.state === "CLOSED" && now - this.enteredAt >= this.settings.stableMs;
    this.openings = isStable ? 1 : this.openings + 1;
    this.enter("OPEN", now);
    let openMs = this.settings.baseOpenMs;
    for (let opening = 1; opening < this.openings; opening += 1) openMs = Math.min(openMs * 2, this.settings.maxOpenMs);
    this.openUntil = now + openMs;
  }

  private enter(state: CircuitState, now: number): void {
    this.state = state;
    this.generation += 1;
    this.enteredAt = now;
    this.openUntil = 0;
    this.hasRamp = false;
    this.results = [];
    this.trials = [];
    this.trialResults = [];
  }
}
