import { isExpired } from "../../src/bucket/fault-rules";
import { queueStub, systemStub } from "../../src/bucket/stubs";
import { force } from "../../src/circuit/circuit";
import { leaseMs } from "../../src/circuit/snapshot";
import type { FailoverEnv } from "../../src/shared/env";
import type { WatchedState } from "../../src/shared/event-batch";
import {
  type CircuitView,
  type DrainGrant,
  type IsolateReport,
  OPERATION_CLASSES,
  type OperationClass,
  type ShardUsage,
  type Snapshot,
} from "../../src/shared/protocol";
import { queueRecord } from "../../src/shared/queue-record";
import type { HealthMetrics } from "../../src/shared/records";
import type { ProbeResult, QueueEstimates } from "../../src/shared/rpc";
import { Subscribers } from "../shared/live/subscribers";
import { nextAlarmAt, nextProbeAt } from "./alarm";
import { type BucketCalls, countCalls, createBucketCalls } from "./bucket-calls";
import { type Budget, createBudget, grant, recordRound, restartBudget, topLevel } from "./budget";
import { expiredByHand, isNothing } from "./by-hand";
import { changedCircuits, changeEvents, newEvent, type Seen } from "./changes";
import { estimate, type QueueTrack, track } from "./estimates";
import { createEvidence, type Evidence, forgetEvidence, isCurrent, judge, takeReport } from "./evidence";
import { FailoverFold } from "./failovers";
import { FeedLink } from "./feed-link";
import { History, longestSilenceMs } from "./history";
import { account } from "./incidents";
import { isShardReporter, Leases } from "./leases";
import { countReport, createMetrics, healthMetrics } from "./metrics";
import { Prober } from "./prober";
import { filledPercent, milestones, nextFill } from "./queue-fill";
import { type ServiceState, statusRow } from "./service-state";
import type { ServiceStore } from "./service-store";
import {
  circuitViews,
  drainTerms,
  isIncident,
  serviceRecord,
  snapshot,
  statusNow,
  totalUsage,
  visiblePart,
} from "./service-views";
import { isRejecting, isWell } from "./status";
import { tallyOf } from "./tally";

/** A shard that holds asks again within these, though it is woken when something changes. */
const LONGEST_HOLD_MS = 5_000;
const SHORTEST_HOLD_MS = 100;
const TRIAL_HOLD_MS = 250;

/**
 * The service in memory, with all that only memory needs to know. Every call takes something in and then calls `settle`,
 * which does the rest in one synchronous block: opens what is confirmed, ends what has run out, stores what changed with its
 * events, raises the version, arms the alarm, and tells the busy shards.
 */
export class ServiceCore {
  readonly leases: Leases;
  readonly calls: BucketCalls = createBucketCalls();
  readonly history: History;
  readonly subscribers: Subscribers;
  readonly #feed: FeedLink;
  readonly #failovers = new FailoverFold();
  readonly #prober: Prober;
  readonly #evidence: Evidence = createEvidence();
  readonly #metrics = createMetrics();
  readonly #queue: QueueTrack = [];
  readonly #budget: Budget;
  /** By shard: when the last snapshot that does not show all of its epoch ends. */
  readonly #epochEnds = new Map<number, number>();
  #seen: Seen;
  #visible: { readonly terms: string; readonly rest: string };
  #armedAt: number | null = null;
  #probing: Promise<void> = Promise.resolve();

  constructor(
    private readonly ctx: DurableObjectState,
    private readonly env: FailoverEnv,
    readonly store: ServiceStore,
    readonly state: ServiceState,
    trustedUntil: number,
    now: number,
  ) {
    // What was handed out before this object was made is trusted for a lease cap at most.
    this.leases = new Leases(Math.max(trustedUntil, now + state.config.service.lease_cap_ms));
    this.history = new History(ctx.storage.sql, state.name, now);
    this.#seen = seenOf(state);
    this.#visible = visiblePart(state, now);
    // In the middle of a climb nobody remembers how far it was.
    const isClimbing = circuitViews(state, now).write.ramp !== null;
    this.#budget = createBudget(isClimbing ? 1 : topLevel(state.shardCount));
    this.#prober = new Prober(env, state, this.#evidence, this.calls);
    this.#feed = new FeedLink({
      service: state.name,
      epoch: state.storageId,
      store,
      take: async (batch) => await systemStub(env).takeEvents(batch),
      state: (at) => this.watched(at),
      background: (work) => ctx.waitUntil(work),
      failed: () => this.settle(Date.now()),
      random: Math.random,
    });
    this.subscribers = new Subscribers(ctx, {
      log: store.log,
      epoch: () => state.storageId,
      state: (at) => {
        const { service, queue } = this.watched(at);
        return { services: [service], queue };
      },
      cursors: store.cursors,
    });
  }

  // ── taking in ─────────────────────────────────────────────────────────────────────────────────────────────────

  takeReport(report: IsolateReport, now: number): void {
    const { state, leases } = this;
    const isShard = isShardReporter(report.reporter);
    countReport(this.#metrics, report.counts, now, state.config.service.window_ms);
    this.history.count(tallyOf(report), now);
    const told = leases.toldTo(report.reporter);
    countCalls(this.calls, isShard ? "drain" : "isolates", report.bucketCalls, (c) => told?.[c].isRejecting === true);
    if (report.failovers !== undefined) this.#failovers.add(report.failovers);
    if (isShard && report.counts.write.success > 0) state.lastWriteSuccessAt = now;
    if (isShard && isCurrent(state, leases, report.reporter, "write", now)) {
      recordRound(this.#budget, report.counts.write, topLevel(state.shardCount));
    }
    takeReport(state, this.#evidence, leases, report, now, Math.random);
  }

  /** Kept in memory: stored with the next notice. */
  takeUsage(shard: number, usage: ShardUsage): void {
    const held = this.state.shards.get(shard);
    if (held !== undefined) this.state.shards.set(shard, { ...held, usage });
  }

  /** Snapshots that were handed out up to now do not show what has just become busy. */
  shardWidened(shard: number): void {
    this.#epochEnds.set(shard, this.leases.trustedUntil);
  }

  leasesEndInMs(shard: number, now: number): number {
    return Math.max(0, (this.#epochEnds.get(shard) ?? this.leases.trustedUntil) - now);
  }

  /** Makes a probe, or joins the one that is under way. Null: the service has none. */
  async probe(): Promise<ProbeResult | null> {
    return await this.#prober.run((end, now) => {
      countReport(this.#metrics, end.counts, now, this.state.config.service.window_ms);
      for (const event of end.events) this.store.addEvent(event);
      this.history.probed();
      this.settle(now);
      this.history.flush(now);
      this.save(now);
    });
  }

  // ── settling ──────────────────────────────────────────────────────────────────────────────────────────────────

  settle(now: number): void {
    const { state } = this;
    this.#expire(now);
    const { reason, isSuspect } = judge(state, this.#evidence, now, Math.random);
    if (reason !== null) state.reason = reason;
    this.#recordChanges(now);
    this.#remember(now);
    this.#recordMilestones(now);
    const failovers = this.#failovers.takeDue(now);
    if (failovers !== null) this.store.addEvent(newEvent("FAILOVER_ACTIVATED", "WARNING", failovers, now));
    const probeAt = nextProbeAt(state, this.#prober.probing(isSuspect), now);
    // Nobody waits for it, least of all a reporter.
    if (probeAt !== null && probeAt <= now) this.#probing = this.probe().then(noop, this.#logged("a probe broke down"));
    this.ctx.waitUntil(this.#probing);
    this.subscribers.publish(now);
    this.subscribers.beat(now);
    this.#feed.send(now);
    const alarmAt = nextAlarmAt(state, this.#prober.probing(isSuspect), now);
    const { heartbeatAt } = this.subscribers;
    this.#arm(earliest(alarmAt, this.history.flushAt, this.#feed.dueAt, this.#failovers.dueAt, heartbeatAt), now);
  }

  #remember(now: number): void {
    const { state, history } = this;
    const { read, write } = state.circuits;
    const circuits = { read: read.state, write: write.state };
    history.look({ status: state.status, circuits }, this.silenceMs, now);
    const usage = totalUsage(state);
    const queueSize = usage.pending + usage.processing;
    track(this.#queue, queueSize, usage.bytes, now);
    if (history.hasIncident || !isWell(state.status)) this.#followIncident(queueSize, now);
    const { flushAt } = history;
    if (flushAt !== null && flushAt <= now) history.flush(now);
  }

  #followIncident(queueSize: number, now: number): void {
    const { status, reason, shards } = this.state;
    const errorRate = this.metrics(now).error_rate;
    const usages = [...shards.values()].map(({ usage }) => usage);
    this.history.judge({ status, reason, queueSize, errorRate, ...account(usages) }, now);
  }

  estimates(now: number): QueueEstimates {
    const { max_queue_size: operations, max_queue_bytes: bytes } = this.state.config.queue;
    return estimate(this.#queue, { operations, bytes }, now);
  }

  /** Longer than this without a call or a probe, and nobody knows how the service was. */
  get silenceMs(): number {
    return longestSilenceMs(this.state.config.service.health_check_interval);
  }

  /** Resolves when the probe that is under way has ended. */
  get probing(): Promise<void> {
    return this.#probing;
  }

  /** The state, for the subscribers of all services. */
  watch(ms: number, now: number): WatchedState {
    return this.#feed.watch(ms, now);
  }

  watched(now: number): WatchedState {
    const { state } = this;
    const service = serviceRecord(state, this.metrics(now), now);
    return { service, queue: queueRecord([totalUsage(state)], now, this.estimates(now)), asOf: now };
  }

  /** Until the system feed has what was recorded so far: bounded, and never rejects. */
  told(): Promise<void> {
    return this.#feed.arrived();
  }

  /** The alarm has fired, or may have been lost: it is set anew by the next `settle`. */
  disarm(): void {
    this.#armedAt = null;
  }

  save(now: number): void {
    this.store.saveStatus(statusRow(this.state, this.metrics(now), this.leases.trustedUntil, now));
  }

  #arm(at: number | null, now: number): void {
    if (at === null || (this.#armedAt !== null && this.#armedAt > now && this.#armedAt <= at)) return;
    this.#armedAt = at;
    void this.ctx.storage.setAlarm(at);
  }

  /** Ends what was set for a time. */
  #expire(now: number): void {
    const { state } = this;
    if (state.faults.some((rule) => isExpired(rule, now))) {
      state.faults = state.faults.filter((rule) => !isExpired(rule, now));
    }
    const byHand = expiredByHand(state.byHand, now);
    if (byHand === state.byHand) return;
    state.byHand = byHand;
    for (const operationClass of OPERATION_CLASSES) {
      if (byHand.modes[operationClass].mode === "auto") force(state.circuits[operationClass], "auto", now);
    }
    this.store.addEvent(newEvent("MODE_CHANGED", "INFO", { mode: "auto", reason: "its duration has passed" }, now));
  }

  #recordChanges(now: number): void {
    const { state } = this;
    const visible = visiblePart(state, now);
    const seen = { ...seenOf(state), status: statusNow(state, now) };
    const changed = changedCircuits(this.#seen, seen);
    const isPushed = visible.terms !== this.#visible.terms || changed.length > 0;
    const isVisible = isPushed || visible.rest !== this.#visible.rest;
    if (isWell(seen.status) && isNothing(state.byHand)) state.reason = null;
    if (!isVisible && seen.status === this.#seen.status) return;
    for (const operationClass of changed) {
      forgetEvidence(this.#evidence, operationClass);
      if (operationClass === "write" && seen.circuits.write.state === "CLOSED") restartBudget(this.#budget);
    }
    for (const event of changeEvents(this.#seen, seen, state.reason, now)) this.store.addEvent(event);
    state.status = seen.status;
    if (isVisible) state.version += 1;
    state.updatedAt = now;
    this.#seen = seen;
    this.#visible = visible;
    this.save(now);
    if (isPushed) this.wakeBusyShards(now);
  }

  #recordMilestones(now: number): void {
    const { state } = this;
    const usage = totalUsage(state);
    const operations = usage.pending + usage.processing;
    const percent = filledPercent(usage, state.config);
    const fill = nextFill(state.queueFill, operations, percent);
    if (fill === state.queueFill) return;
    const data = { operations, bytes: usage.bytes, percent: Math.round(percent), failed: usage.failed };
    for (const { type, severity } of milestones(state.queueFill, fill)) {
      this.store.addEvent(newEvent(type, severity, data, now));
    }
    state.queueFill = fill;
    this.save(now);
  }

  #logged(message: string) {
    return (error: unknown) =>
      console.warn(JSON.stringify({ level: "warn", message, service: this.state.name, error: String(error) }));
  }

  /** Fire and forget: a shard that does not hear of it asks by itself. */
  wakeBusyShards(now: number): void {
    for (const { shard, busy } of this.state.shards.values()) if (busy !== null) this.wakeShard(shard, now);
  }

  wakeShard(shard: number, now: number): void {
    const woken = queueStub(this.env, this.state.name, shard)
      .wake(drainTerms(this.state, now))
      .catch(this.#logged("a shard was not woken"));
    this.ctx.waitUntil(woken);
  }

  // ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The snapshot for a reporter, or for whoever has just changed something by hand (null). */
  snapshotFor(reporter: string | null, now: number): Snapshot {
    const { state, leases } = this;
    if (reporter !== null) leases.tell(reporter, circuitViews(state, now), now);
    const { service } = state.config;
    const activeIsolates = leases.activeIsolates(now);
    const lease = leaseMs(activeIsolates, isIncident(state, now), service);
    leases.handedOut(now, lease, service.lease_cap_ms);
    return snapshot(state, lease, activeIsolates, now);
  }

  metrics(now: number): HealthMetrics {
    const { lastCheckAt, config } = this.state;
    return healthMetrics(this.#metrics, this.#prober.last, lastCheckAt, now, config.service.window_ms);
  }

  grant(shard: number, reporter: string, ready: number, now: number): DrainGrant {
    const { state } = this;
    const terms = drainTerms(state, now);
    this.leases.tell(reporter, terms.circuits, now);
    const { write } = terms.circuits;
    if (state.paused || isRejecting(write.state)) {
      return { terms, concurrency: 0, operations: 0, retryMs: holdMs(state.paused, write, now) };
    }
    return { terms, ...grant(this.#budget, shard, ready, topLevel(state.shardCount), now) };
  }
}

function holdMs(paused: boolean, write: CircuitView, now: number): number {
  if (paused || write.state === "FORCED_OPEN") return LONGEST_HOLD_MS;
  if (write.openUntil === null) return TRIAL_HOLD_MS;
  return Math.min(LONGEST_HOLD_MS, Math.max(SHORTEST_HOLD_MS, write.openUntil - now));
}

function earliest(...times: readonly (number | null)[]): number | null {
  const known = times.filter((at) => at !== null);
  return known.length === 0 ? null : Math.min(...known);
}

const noop = () => undefined;

function seenOf({ circuits, status }: ServiceState): Seen {
  const seen = (operationClass: OperationClass) => {
    const { state, openUntil } = circuits[operationClass];
    return { state, openUntil };
  };
  return { circuits: { read: seen("read"), write: seen("write") }, status };
}
