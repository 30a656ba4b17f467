/**
 * Many isolates and one service on a clock of their own: the library's own circuits, reporter, admission and leases, and
 * the object's own evidence and alarm. Only R2, the network and the callers are simulated. Pure, but for `Math.random`,
 * which is seeded while it runs.
 *
 * Every isolate makes writes at random times (Poisson). One in twenty is busy, with 5 to 50 calls a second; 35 % make one
 * a second, the others one in 30 s. R2 answers at once, and from `DIES_AT_MS` on with an error.
 */
import { nextAlarmAt, nextProbeAt } from "../../durable-objects/service/alarm";
import {
  beginTrial,
  createEvidence,
  endTrial,
  forgetEvidence,
  judge,
  type Trial,
  takeReport,
} from "../../durable-objects/service/evidence";
import { Leases } from "../../durable-objects/service/leases";
import { newService } from "../../durable-objects/service/service-state";
import { circuitViews, isIncident, snapshot } from "../../durable-objects/service/service-views";
import { admit, ended } from "../../src/bucket/admission";
import { createIsolateState, type IsolateState, isTrusted, takeSnapshot } from "../../src/bucket/isolate-state";
import { stateAt } from "../../src/circuit/circuit";
import { reportAnswered, reportDue, reportSent, take } from "../../src/circuit/reporter";
import { leaseMs } from "../../src/circuit/snapshot";
import { DEFAULT_CONFIG } from "../../src/shared/config";
import { type IsolateReport, OPERATION_CLASSES, type Snapshot } from "../../src/shared/protocol";

const START = 1_000_000_000;
/** Isolates appear within this, so that their leases do not run out together. */
const APPEAR_MS = 30_000;
/** By then the leases are as long as they get: two caps after the last isolate has appeared. */
const CALM_FROM_MS = 90_000;
const DIES_AT_MS = 110_000;
const ENDS_AT_MS = 150_000;
/** One way, between an isolate and the object. */
export const NETWORK_MS = 10;
const PROBE_MS = 50;
const BUSY_SHARE = 0.05;
const STEADY_SHARE = 0.35;

export interface Outcome {
  readonly isolates: number;
  /** Requests to the object per second: in calm, from the outage on, and in the worst second of it. */
  readonly calmPerS: number;
  readonly outagePerS: number;
  readonly peakPerS: number;
  /** What the design promises: the budget, and beyond the lease cap one request per isolate and cap. */
  readonly designedPerS: number;
  /** Of the isolates with at least 5 calls a second: the share (0-1) that had stopped 2 s after R2 died, and when 99 % had. */
  readonly stoppedIn2s: number;
  readonly busyStopMs: number;
  /**
   * Of all isolates: how long one still called after the first call that it made past its lease. That call is its last
   * one, but for those that it makes before its report is answered.
   */
  readonly overrunMs: number;
  /** The lease in force when R2 died. */
  readonly leaseMs: number;
}

type Kind = "call" | "go" | "prompt" | "arrive" | "reply";

interface Isolate {
  readonly state: IsolateState;
  readonly everyMs: number;
  readonly isBusy: boolean;
  sent: { readonly report: IsolateReport; readonly at: number } | null;
  reply: Snapshot | null;
  /** The last call to the dead R2 that was no trial of an own, half-open circuit, and the first past the lease. */
  lastCallAt: number | null;
  pastLeaseAt: number | null;
  /** The end of the lease that it held when the service's circuit opened. */
  leaseEndsAt: number;
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function simulate(isolates: number, seed = 1): Outcome {
  const random = Math.random;
  Math.random = seeded(seed);
  try {
    return new Simulation(isolates).run();
  } finally {
    Math.random = random;
  }
}

class Simulation {
  readonly #isolates: readonly Isolate[];
  /** What happens in each ms from the start. */
  readonly #agenda: ({ readonly kind: Kind; readonly isolate: Isolate } | "alarm")[][] = [];
  readonly #service = newService("S", DEFAULT_CONFIG, true, START);
  readonly #evidence = createEvidence();
  readonly #leases = new Leases(START);
  #visible = "";
  #alarmAt: number | null = null;
  #probe: { readonly trials: { read: Trial; write: Trial }; readonly startedAt: number } | null = null;
  #probedAt: number | null = null;
  /** Requests to the object, by second. */
  readonly #requests = new Array<number>(ENDS_AT_MS / 1_000).fill(0);
  #leaseMs = 0;
  /** When the service's circuit opened. */
  #openedAt: number | null = null;

  constructor(count: number) {
    this.#isolates = Array.from({ length: count }, (_, n) => createIsolate(n, count));
    for (const isolate of this.#isolates) this.#at(Math.random() * APPEAR_MS, "call", isolate);
  }

  run(): Outcome {
    this.#settle(START);
    for (let ms = 0; ms < ENDS_AT_MS; ms += 1) {
      const now = START + ms;
      // What is added to this very ms is done in it too.
      const due = this.#agenda[ms] ?? [];
      this.#agenda[ms] = due;
      for (const item of due) {
        if (item === "alarm") this.#alarm(now);
        else this.#happen(item.kind, item.isolate, now);
      }
      delete this.#agenda[ms];
      if (this.#openedAt !== null && now === this.#openedAt + NETWORK_MS) this.#noteLeases();
    }
    return this.#outcome();
  }

  #noteLeases(): void {
    for (const isolate of this.#isolates) isolate.leaseEndsAt = isolate.state.reporter.leaseEndsAt;
  }

  #at(ms: number, kind: Kind, isolate: Isolate): void {
    this.#agendaOf(ms).push({ kind, isolate });
  }

  #agendaOf(ms: number) {
    const at = Math.max(0, Math.ceil(ms));
    const list = this.#agenda[at] ?? [];
    this.#agenda[at] = list;
    return list;
  }

  #happen(kind: Kind, isolate: Isolate, now: number): void {
    switch (kind) {
      case "call":
        this.#call(isolate, now);
        break;
      case "go":
        this.#go(isolate, now);
        break;
      case "prompt":
        this.#reportIfDue(isolate, now);
        break;
      case "arrive":
        this.#arrive(isolate, now);
        break;
      case "reply":
        this.#reply(isolate, now);
    }
  }

  // ── an isolate ────────────────────────────────────────────────────────────────────────────────────────────────

  #call(isolate: Isolate, now: number): void {
    const { state } = isolate;
    this.#at(now - START + exponential(isolate.everyMs), "call", isolate);
    const isDue = reportDue(state.reporter, now);
    this.#reportIfDue(isolate, now);
    // As `freshen`: a call that would be decided by a stale snapshot waits for the next one, unless it shows all well.
    const mayGo = isTrusted(state, now) && (!isDue || state.snapshot?.circuits.write.state === "CLOSED");
    if (mayGo) this.#go(isolate, now);
    else this.#at(now - START + 2 * NETWORK_MS + 1, "go", isolate);
  }

  #go(isolate: Isolate, now: number): void {
    const { state } = isolate;
    const admission = admit(state, "write", now);
    if (!admission.admitted) return;
    const isDead = now - START >= DIES_AT_MS;
    const isTrial = admission.permit !== null && admission.permit.trial > 0;
    if (isDead && !isTrial) {
      isolate.lastCallAt = now;
      if (now >= isolate.leaseEndsAt) isolate.pastLeaseAt ??= now;
    }
    const isPrompted = ended(state, "write", admission.permit, isDead ? "failure" : "success", 5, now);
    if (isPrompted) this.#at((state.reporter.promptedAt ?? now) - START + 1, "prompt", isolate);
    else this.#reportIfDue(isolate, now);
  }

  #reportIfDue(isolate: Isolate, now: number): void {
    const { state } = isolate;
    if (!reportDue(state.reporter, now)) return;
    const { rejected } = state;
    state.rejected = { read: 0, write: 0 };
    const report = {
      reporter: state.id ?? "",
      counts: take(state.reporter.counters),
      circuits: { read: stateAt(state.circuits.read, now), write: stateAt(state.circuits.write, now) },
      bucketCalls: {},
      rejected,
      failedReports: 0,
    };
    reportSent(state.reporter, now);
    isolate.sent = { report, at: now };
    this.#at(now - START + NETWORK_MS, "arrive", isolate);
  }

  #reply(isolate: Isolate, now: number): void {
    const { reply, sent, state } = isolate;
    if (reply === null || sent === null) return;
    takeSnapshot(state, reply, now);
    reportAnswered(state.reporter, sent.at, reply);
  }

  // ── the object ────────────────────────────────────────────────────────────────────────────────────────────────

  #arrive(isolate: Isolate, now: number): void {
    if (isolate.sent === null) return;
    const second = Math.floor((now - START) / 1_000);
    this.#requests[second] = (this.#requests[second] ?? 0) + 1;
    takeReport(this.#service, this.#evidence, this.#leases, isolate.sent.report, now, Math.random);
    this.#settle(now);
    this.#leases.tell(isolate.sent.report.reporter, circuitViews(this.#service, now), now);
    const { service: config } = DEFAULT_CONFIG;
    const active = this.#leases.activeIsolates(now);
    const lease = leaseMs(active, isIncident(this.#service, now), config);
    this.#leases.handedOut(now, lease, config.lease_cap_ms);
    if (now - START < DIES_AT_MS) this.#leaseMs = lease;
    isolate.reply = snapshot(this.#service, lease, active, now);
    this.#at(now - START + NETWORK_MS, "reply", isolate);
  }

  #settle(now: number): void {
    const { isSuspect } = judge(this.#service, this.#evidence, now, Math.random);
    const views = circuitViews(this.#service, now);
    const visible = OPERATION_CLASSES.map((c) => `${views[c].state} ${views[c].generation}`).join();
    if (visible !== this.#visible) {
      for (const c of OPERATION_CLASSES) if (views[c].state !== "CLOSED") forgetEvidence(this.#evidence, c);
      this.#service.version += 1;
      this.#visible = visible;
      if (views.write.state === "OPEN") this.#openedAt ??= now;
    }
    const probing = () => ({ isSuspect, startedAt: this.#probedAt, isRunning: this.#probe !== null });
    const probeAt = nextProbeAt(this.#service, probing(), now);
    if (probeAt !== null && probeAt <= now) this.#beginProbe(now);
    this.#arm(nextAlarmAt(this.#service, probing(), now));
  }

  #arm(at: number | null): void {
    if (at === null || (this.#alarmAt !== null && this.#alarmAt <= at)) return;
    this.#alarmAt = at;
    this.#agendaOf(at - START).push("alarm");
  }

  #alarm(now: number): void {
    if (this.#alarmAt !== null && this.#alarmAt <= now) this.#alarmAt = null;
    if (this.#probe !== null && now >= this.#probe.startedAt + PROBE_MS) this.#endProbe(now);
    this.#settle(now);
  }

  #beginProbe(now: number): void {
    if (this.#probe !== null) return;
    const begin = (c: "read" | "write") => beginTrial(this.#service, this.#evidence, c, now, Math.random);
    this.#probe = { trials: { read: begin("read"), write: begin("write") }, startedAt: now };
    this.#probedAt = now;
    this.#service.lastCheckAt = now;
    this.#agendaOf(now - START + PROBE_MS).push("alarm");
  }

  #endProbe(now: number): void {
    const probe = this.#probe;
    if (probe === null) return;
    this.#probe = null;
    this.#service.lastCheckAt = now;
    const outcome = now - START >= DIES_AT_MS ? "failure" : "success";
    for (const c of OPERATION_CLASSES) {
      endTrial(this.#service, this.#evidence, c, probe.trials[c], outcome, now, Math.random);
    }
  }

  // ── what came of it ───────────────────────────────────────────────────────────────────────────────────────────

  #outcome(): Outcome {
    const mean = (fromMs: number, toMs: number) => {
      const seconds = this.#requests.slice(fromMs / 1_000, toMs / 1_000);
      return seconds.reduce((sum, n) => sum + n, 0) / seconds.length;
    };
    const dead = START + DIES_AT_MS;
    const stops = this.#isolates
      .filter(({ isBusy }) => isBusy)
      .map(({ lastCallAt }) => (lastCallAt === null ? 0 : lastCallAt - dead))
      .sort((a, b) => a - b);
    const overruns = this.#isolates.map(({ lastCallAt, pastLeaseAt }) =>
      lastCallAt === null || pastLeaseAt === null ? 0 : lastCallAt - pastLeaseAt,
    );
    const { report_budget_per_s: budget, lease_cap_ms: capMs } = DEFAULT_CONFIG.service;
    const count = this.#isolates.length;
    return {
      isolates: count,
      calmPerS: mean(CALM_FROM_MS, DIES_AT_MS),
      outagePerS: mean(DIES_AT_MS, ENDS_AT_MS),
      peakPerS: Math.max(...this.#requests.slice(DIES_AT_MS / 1_000)),
      designedPerS: Math.max(budget, (count * 1_000) / capMs),
      stoppedIn2s: stops.filter((ms) => ms <= 2_000).length / stops.length,
      busyStopMs: stops[Math.ceil(stops.length * 0.99) - 1] ?? 0,
      overrunMs: overruns.reduce((most, ms) => Math.max(most, ms), 0),
      leaseMs: this.#leaseMs,
    };
  }
}

function createIsolate(n: number, count: number): Isolate {
  const state = createIsolateState("S");
  state.id = `isolate-${n}`;
  const isBusy = n < Math.ceil(count * BUSY_SHARE);
  const isSteady = n < count * (BUSY_SHARE + STEADY_SHARE);
  const everyMs = isBusy ? 1_000 / (5 * 10 ** Math.random()) : isSteady ? 1_000 : 30_000;
  const unknown = {
    sent: null,
    reply: null,
    lastCallAt: null,
    pastLeaseAt: null,
    leaseEndsAt: Number.POSITIVE_INFINITY,
  };
  return { state, everyMs, isBusy, ...unknown };
}

function exponential(mean: number): number {
  return -mean * Math.log(1 - Math.random());
}
