import { injectFaults } from "../../src/bucket/fault-injector";
import { stateAt } from "../../src/circuit/circuit";
import { type FailoverEnv, rawBucket } from "../../src/shared/env";
import { emptyHistogram, latencyBucket } from "../../src/shared/latency";
import { type ClassCounts, OPERATION_CLASSES, type OperationClass, type Outcome } from "../../src/shared/protocol";
import type { ProbeResult } from "../../src/shared/rpc";
import type { Probing } from "./alarm";
import { type BucketCalls, countCalls } from "./bucket-calls";
import { newEvent } from "./changes";
import { beginTrial, confirmedByProbe, type Evidence, endTrial } from "./evidence";
import { adjustOffset, type ProbeReport, probeBucket } from "./probe";
import { probeTarget } from "./probe-target";
import { hasBucket, probeTargetOf } from "./probed";
import type { ServiceState } from "./service-state";
import type { NewEvent } from "./service-store";
import { isRejecting } from "./status";

const LONGEST_STEP_MS = 10_000;
/** Probes in quick succession take turns at the canaries. */
const CANARY_TURN_MS = 200;

/** What came of a probe, beside what it did to the circuits. */
export interface ProbeEnd {
  readonly counts: Record<OperationClass, ClassCounts>;
  readonly events: readonly NewEvent[];
}

/** Makes the probes of a service, one at a time, and brings what they say to its circuits. */
export class Prober {
  #running: Promise<ProbeResult | null> | null = null;
  #startedAt: number | null = null;
  #outcomes: Readonly<Record<OperationClass, Outcome>> = { read: "success", write: "success" };
  #last: { readonly ok: boolean; readonly ms: number } | null = null;

  constructor(
    private readonly env: FailoverEnv,
    private readonly service: ServiceState,
    private readonly evidence: Evidence,
    private readonly calls: BucketCalls,
  ) {}

  /** The last one since the object was created. */
  get last() {
    return this.#last;
  }

  probing(isSuspect: boolean): Probing {
    return { isSuspect, startedAt: this.#startedAt, isRunning: this.#running !== null };
  }

  /** Each step has its deadline, so it always ends. `ended` is called when the next one may begin. */
  async run(ended: (end: ProbeEnd, now: number) => void): Promise<ProbeResult | null> {
    if (!this.service.hasProbe) return null;
    if (this.#running !== null) return await this.#running;
    const running = this.#probe(ended).finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return await running;
  }

  async #probe(ended: (end: ProbeEnd, now: number) => void): Promise<ProbeResult | null> {
    const { service, evidence } = this;
    const startedAt = Date.now();
    this.#startedAt = startedAt;
    // At once: a probe that breaks down must not be due again at once.
    service.lastCheckAt = startedAt;
    const begin = (c: OperationClass) => beginTrial(service, evidence, c, startedAt, Math.random);
    const trials = { read: begin("read"), write: begin("write") };
    const report = await this.#report(Math.floor(startedAt / CANARY_TURN_MS));

    const now = Date.now();
    this.#running = null;
    service.lastCheckAt = now;
    if (report.result?.write.ok === true) service.lastWriteSuccessAt = now;
    if (report.clockOffset !== null) service.clockOffsetMs = adjustOffset(service.clockOffsetMs, report.clockOffset);
    for (const c of OPERATION_CLASSES) {
      const isConfirmed = endTrial(service, evidence, c, trials[c], report.outcomes[c], now, Math.random);
      if (isConfirmed) service.reason = confirmedByProbe(c);
    }
    const events = this.#failures(report, now);
    this.#outcomes = report.outcomes;
    const { read, write } = report.steps;
    this.#last = { ok: read.ok && write.ok, ms: read.ms + write.ms };
    ended({ counts: { read: countsOf(report, "read"), write: countsOf(report, "write") }, events }, now);
    return report.result;
  }

  #report(n: number): Promise<ProbeReport> {
    const { readMs, writeMs } = this.#deadlines();
    const target = hasBucket(this.env, this.service.name) ? null : probeTargetOf(this.env, this.service.name);
    if (target !== null) return probeTarget(this.env, target, n, readMs, Date.now);
    return probeBucket(this.#bucket(), n, { readMs, writeMs }, Date.now);
  }

  #bucket(): R2Bucket {
    const { service, calls } = this;
    return injectFaults(rawBucket(this.env, service.name), () => service.faults, {
      onCall: (method) => {
        const now = Date.now();
        countCalls(calls, "probes", { [method]: 1 }, (c) => isRejecting(stateAt(service.circuits[c], now)));
      },
      now: Date.now,
      random: Math.random,
    });
  }

  #deadlines() {
    const { read_timeout_ms, write_timeout_ms } = this.service.config.service;
    return { readMs: Math.min(LONGEST_STEP_MS, read_timeout_ms), writeMs: Math.min(LONGEST_STEP_MS, write_timeout_ms) };
  }

  /** An event where probes begin to fail, not at each one of an outage. */
  #failures(report: ProbeReport, now: number): NewEvent[] {
    return OPERATION_CLASSES.filter((c) => report.outcomes[c] === "failure" && this.#outcomes[c] !== "failure").map(
      (c) => newEvent("PROBE_FAILED", "WARNING", { circuit: c, ms: report.steps[c].ms }, now),
    );
  }
}

function countsOf({ steps, outcomes }: ProbeReport, operationClass: OperationClass): ClassCounts {
  const outcome = outcomes[operationClass];
  const latency = emptyHistogram();
  latency[latencyBucket(steps[operationClass].ms)] = 1;
  const failure = outcome === "failure" ? 1 : 0;
  return {
    success: outcome === "success" ? 1 : 0,
    failure,
    throttled: outcome === "throttled" ? 1 : 0,
    ignored: 0,
    consecutiveFailures: failure,
    latency,
  };
}
