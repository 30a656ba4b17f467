import { DurableObject } from "cloudflare:workers";
import initial from "../../migrations/service/0001_initial.sql";
import events from "../../migrations/shared/0001_events.sql";
import { isExpired } from "../../src/bucket/fault-rules";
import { faultProblem, parseFaults } from "../../src/bucket/fault-schema";
import { systemStub } from "../../src/bucket/stubs";
import { configure, force } from "../../src/circuit/circuit";
import { DEFAULT_CONFIG, type EffectiveConfig } from "../../src/shared/config";
import type { FailoverEnv } from "../../src/shared/env";
import type { EventBatch, EventsTaken, WatchedState } from "../../src/shared/event-batch";
import {
  type Answer,
  type CalmNotice,
  type DrainGrant,
  type DrainRequest,
  type FaultRule,
  type IsolateReport,
  type NoticeReply,
  OPERATION_CLASSES,
  type OperationClass,
  type Refusal,
  type ShardNotice,
  type Snapshot,
} from "../../src/shared/protocol";
import type {
  Actor,
  AvailabilityRecord,
  HealthMetrics,
  IncidentRecord,
  ServiceHistoryRecord,
  ServiceRecord,
} from "../../src/shared/records";
import type {
  ClassTotals,
  EventPage,
  ModeChange,
  ProbeResult,
  ServiceOverview,
  ServiceRpc,
} from "../../src/shared/rpc";
import { within } from "../../src/shared/within";
import { EventIntake } from "../shared/event-intake";
import { acceptSubscriber } from "../shared/live/accept";
import { migrate } from "../shared/migrate";
import { changedByHand, modeProblem } from "./by-hand";
import { newEvent } from "./changes";
import { parseCalm, parseDrain, parseEvent, parseNotice, parseReport } from "./incoming";
import { hasBucket, hasProbe } from "./probed";
import { ServiceCore } from "./service-core";
import { changedKeys, completeConfig, newService, probesItself, settingsOf, storedService } from "./service-state";
import { type NewEvent, ServiceStore } from "./service-store";
import { drainTerms, serviceRecord, totalUsage } from "./service-views";
import { takeCalm, takeNotice } from "./shards";

const MIGRATIONS = [
  { name: "0001_initial", sql: initial },
  { name: "0001_events", sql: events },
];
const SYSTEM_TIMEOUT_MS = 2_000;
/** Longest period of availability: what is kept. */
const MAX_HOURS = 90 * 24;
const REFUSED_SHARD = { operations: 0, bytes: 0 };

/**
 * One service: its circuits, status, events and shards (DESIGN §7). A shell over `ServiceCore`: each call makes sure that
 * the service is there, takes something in, and lets the core settle the rest.
 */
export class ServiceDO extends DurableObject<FailoverEnv> implements ServiceRpc {
  readonly #store: ServiceStore;
  readonly #intake: EventIntake;
  #core: ServiceCore | null = null;
  #starting: Promise<ServiceCore> | null = null;
  #configReadAt = 0;
  #configPushes = 0;

  constructor(ctx: DurableObjectState, env: FailoverEnv) {
    super(ctx, env);
    migrate(ctx, MIGRATIONS);
    this.#store = new ServiceStore(ctx.storage.sql, ctx.id.name ?? "");
    this.#intake = new EventIntake(ctx.storage.sql, this.#store.log);
    const row = this.#store.status();
    if (row === null) return;
    const now = Date.now();
    const faults = this.#mayInject() ? this.#store.faults() : [];
    const state = storedService(row, this.#store.shards(), faults, hasProbe(env, row.service_name));
    this.#core = new ServiceCore(ctx, env, this.#store, state, row.trusted_until, now);
    // The alarm is derived anew: the last one may have been lost.
    this.#core.settle(now);
  }

  async report(sent: IsolateReport): Promise<Snapshot> {
    const report = parseReport(sent);
    const core = await this.#ready();
    const now = Date.now();
    core.takeReport(report, now);
    core.settle(now);
    return core.snapshotFor(report.reporter, now);
  }

  async overview(): Promise<ServiceOverview> {
    const core = await this.#ready();
    const now = Date.now();
    core.settle(now);
    return {
      record: serviceRecord(core.state, core.metrics(now), now),
      usage: totalUsage(core.state),
      estimates: core.estimates(now),
      paused: core.state.paused,
      monitored: probesItself(core.state),
      lastCheck: core.state.lastCheckAt,
      bucketCalls: core.calls.all,
      bucketCallsWhileOpen: core.calls.whileOpen,
    };
  }

  async totals(): Promise<Readonly<Record<OperationClass, ClassTotals>>> {
    return (await this.#ready()).history.totals();
  }

  async history(): Promise<ServiceHistoryRecord> {
    const core = await this.#ready();
    const now = Date.now();
    core.settle(now);
    return core.history.record(core.silenceMs, now);
  }

  async incidents(limit: number): Promise<IncidentRecord[]> {
    const core = await this.#ready();
    core.settle(Date.now());
    return core.history.incidents(limit);
  }

  async availability(hours: number): Promise<AvailabilityRecord> {
    const core = await this.#ready();
    const now = Date.now();
    core.settle(now);
    return core.history.availability(Math.min(MAX_HOURS, Math.max(1, hours)), core.silenceMs, now);
  }

  async probe(): Promise<{ result: ProbeResult | null; metrics: HealthMetrics }> {
    const core = await this.#ready();
    // One that is under way may have begun before what the caller wants to know of.
    await core.probing;
    const result = await core.probe();
    return { result, metrics: core.metrics(Date.now()) };
  }

  async setMode(change: ModeChange, by: Actor): Promise<Answer<{ record: ServiceRecord; snapshot: Snapshot }>> {
    const problem = modeProblem(change);
    if (problem !== null) return invalid(problem);
    const core = await this.#ready();
    const { state } = core;
    const now = Date.now();
    state.byHand = changedByHand(state.byHand, change, now);
    state.reason = change.reason;
    for (const c of OPERATION_CLASSES) force(state.circuits[c], state.byHand.modes[c].mode, now);
    const { mode, circuits = OPERATION_CLASSES, reason, durationMs = null } = change;
    const data = { mode, circuits, read_only: state.byHand.readOnly.on, reason, duration_ms: durationMs, ...named(by) };
    this.#store.addEvent(newEvent("MODE_CHANGED", "WARNING", data, now));
    core.settle(now);
    core.save(now);
    const record = serviceRecord(state, core.metrics(now), now);
    const snapshot = core.snapshotFor(null, now);
    await core.told();
    return { ok: true, record, snapshot };
  }

  async setFaults(
    faults: readonly FaultRule[],
    by: Actor,
  ): Promise<Answer<{ faults: readonly FaultRule[]; snapshot: Snapshot }>> {
    if (!this.#mayInject()) {
      return {
        ok: false,
        code: "FAULT_INJECTION_OFF",
        message: "Fault injection is off. FAULT_INJECTION=on allows it.",
      };
    }
    const problem = faultProblem(faults);
    if (problem !== null) return invalid(problem);
    const core = await this.#ready();
    const now = Date.now();
    core.state.faults = parseFaults(faults).filter((rule) => !isExpired(rule, now));
    this.#store.saveFaults(core.state.faults);
    this.#store.addEvent(newEvent("FAULTS_CHANGED", "WARNING", { faults: core.state.faults, ...named(by) }, now));
    core.settle(now);
    const snapshot = core.snapshotFor(null, now);
    await core.told();
    return { ok: true, faults: core.state.faults, snapshot };
  }

  async faults(): Promise<readonly FaultRule[]> {
    const core = await this.#ready();
    core.settle(Date.now());
    return core.state.faults;
  }

  async setPaused(paused: boolean, by: Actor): Promise<Answer<{ paused: boolean }>> {
    const core = await this.#ready();
    const now = Date.now();
    if (core.state.paused !== paused) {
      core.state.paused = paused;
      this.#store.addEvent(newEvent(paused ? "QUEUE_PAUSED" : "QUEUE_RESUMED", "WARNING", named(by), now));
    }
    core.settle(now);
    await core.told();
    return { ok: true, paused };
  }

  async setMonitoring(on: boolean, by: Actor): Promise<Answer<{ monitored: boolean }>> {
    const core = await this.#ready();
    const { state } = core;
    if (!state.hasProbe) return invalid(`${state.name} has nothing that could be probed: see HEALTH_PROBES.`);
    const now = Date.now();
    if (state.isMonitored !== on) {
      state.isMonitored = on;
      // Without probes some of the callers must be the trials: else an open circuit would never close.
      for (const c of OPERATION_CLASSES) configure(state.circuits[c], settingsOf(state.config, state));
      this.#store.addEvent(newEvent(on ? "MONITORING_STARTED" : "MONITORING_STOPPED", "WARNING", named(by), now));
    }
    core.disarm();
    core.settle(now);
    core.save(now);
    await core.told();
    return { ok: true, monitored: on };
  }

  async events(since: number | null, limit: number): Promise<EventPage> {
    const core = await this.#ready();
    core.settle(Date.now());
    const { head, oldest } = this.#store.log;
    return { storageId: core.state.storageId, events: this.#store.events(since, limit), head, oldest };
  }

  async configChanged(config: EffectiveConfig, by: Actor): Promise<void> {
    const core = await this.#ready();
    this.#configPushes += 1;
    this.#applyConfig(core, config, named(by), Date.now());
  }

  async poke(): Promise<void> {
    const core = await this.#ready();
    await this.#readConfig(core);
    const now = Date.now();
    core.disarm();
    core.settle(now);
    core.wakeBusyShards(now);
  }

  async notice(sent: ShardNotice): Promise<NoticeReply> {
    const notice = parseNotice(sent);
    const core = await this.#ready();
    const { state } = core;
    const now = Date.now();
    const held = state.shards.get(notice.shard);
    const { max_queue_size: operations, max_queue_bytes: bytes } = state.config.queue;
    const isKnown = notice.shard < state.shardCount;
    const limit = { operations, bytes };
    const taken = isKnown ? takeNotice(held, notice, limit, state.shardCount, state.shards.values()) : null;
    if (taken !== null) {
      state.shards.set(notice.shard, taken.record);
      this.#store.saveShard(taken.record, now);
      if (taken.isWider) core.shardWidened(notice.shard);
      if ((held?.busy ?? null) === null) this.#shardEvent("SHARD_BUSY", notice, now);
    }
    core.settle(now);
    return {
      quota: taken?.record.quota ?? held?.quota ?? REFUSED_SHARD,
      leasesEndInMs: core.leasesEndInMs(notice.shard, now),
      terms: drainTerms(state, now),
    };
  }

  async calm(sent: CalmNotice): Promise<{ accepted: boolean }> {
    const notice = parseCalm(sent);
    const core = await this.#ready();
    const { shards } = core.state;
    const now = Date.now();
    const held = shards.get(notice.shard);
    const record = takeCalm(held, notice);
    if (record === null) return { accepted: false };
    shards.set(notice.shard, record);
    this.#store.saveShard(record, now);
    if ((held?.busy ?? null) !== null) this.#shardEvent("SHARD_CALM", notice, now);
    core.settle(now);
    return { accepted: true };
  }

  async drain(sent: DrainRequest): Promise<DrainGrant> {
    const { shard, report, usage, ready } = parseDrain(sent);
    const core = await this.#ready();
    const now = Date.now();
    core.takeReport(report, now);
    core.takeUsage(shard, usage);
    core.settle(now);
    return core.grant(shard, report.reporter, ready, now);
  }

  async takeEvents(batch: EventBatch): Promise<EventsTaken> {
    const core = await this.#ready();
    const now = Date.now();
    const taken = this.#intake.take(batch, core.state.name, now);
    core.settle(now);
    return taken;
  }

  async watch(ms: number): Promise<WatchedState> {
    const core = await this.#ready();
    const now = Date.now();
    core.settle(now);
    return core.watch(ms, now);
  }

  /** A subscriber: see `subscriptionOf` for what the Worker asks. */
  override async fetch(request: Request): Promise<Response> {
    const core = await this.#ready();
    const now = Date.now();
    core.settle(now);
    const answer = acceptSubscriber(core.subscribers, request, now);
    core.settle(now);
    return answer;
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#core?.subscribers.message(socket, message, Date.now());
  }

  override webSocketClose(socket: WebSocket): void {
    this.#core?.subscribers.gone(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#core?.subscribers.gone(socket);
  }

  async recordEvent(sent: NewEvent): Promise<void> {
    const event = parseEvent(sent);
    const core = await this.#ready();
    this.#store.addEvent(event);
    core.settle(Date.now());
  }

  /** Catches everything: the platform gives an alarm up after a few errors, and settling sets the next one. */
  override async alarm(): Promise<void> {
    const core = this.#core;
    if (core === null) return;
    core.disarm();
    core.settle(Date.now());
    await core.probing;
    this.#readConfigInBackground(core);
    core.settle(Date.now());
  }

  // ── the service and its config ────────────────────────────────────────────────────────────────────────────────

  async #ready(): Promise<ServiceCore> {
    if (this.#core === null) {
      this.#starting ??= this.#start().finally(() => {
        this.#starting = null;
      });
      return await this.#starting;
    }
    this.#readConfigInBackground(this.#core);
    return this.#core;
  }

  /** First use: registers, fixes the number of shards, and tells shard 0, which cold isolates ask when we are down. */
  async #start(): Promise<ServiceCore> {
    const { name } = this.ctx.id;
    if (name === undefined) throw new Error("a ServiceDO is found by its service's name: use idFromName");
    this.#configReadAt = Date.now();
    const config = (await this.#register(name)) ?? DEFAULT_CONFIG;
    const now = Date.now();
    const state = newService(name, config, hasProbe(this.env, name), now);
    const core = new ServiceCore(this.ctx, this.env, this.#store, state, 0, now);
    this.#core = core;
    core.save(now);
    core.settle(now);
    // Without a bucket there is nothing that a queue could apply.
    if (hasBucket(this.env, name)) core.wakeShard(0, now);
    return core;
  }

  /** The config in force; null when SystemDO does not answer. */
  async #register(name: string): Promise<EffectiveConfig | null> {
    try {
      return completeConfig(await within(systemStub(this.env).register(name), SYSTEM_TIMEOUT_MS, noAnswer));
    } catch (error) {
      const message = "the config was not read, the stored one stays in force";
      console.warn(JSON.stringify({ level: "warn", message, service: name, error: String(error) }));
      return null;
    }
  }

  /** A push may have been lost: at most once per lease cap the config is read again. */
  #readConfigInBackground(core: ServiceCore): void {
    const { lease_cap_ms } = core.state.config.service;
    if (Date.now() - this.#configReadAt >= lease_cap_ms) this.ctx.waitUntil(this.#readConfig(core));
  }

  async #readConfig(core: ServiceCore): Promise<void> {
    this.#configReadAt = Date.now();
    const pushes = this.#configPushes;
    const config = await this.#register(core.state.name);
    // What was pushed meanwhile is newer.
    if (config !== null && pushes === this.#configPushes) this.#applyConfig(core, config, {}, Date.now());
  }

  #applyConfig(core: ServiceCore, offered: EffectiveConfig, by: Record<string, string>, now: number): void {
    const { state } = core;
    const config = completeConfig(offered);
    const changed = changedKeys(state.config, config);
    if (Object.keys(changed).length === 0) return;
    state.config = config;
    for (const c of OPERATION_CLASSES) configure(state.circuits[c], settingsOf(config, state));
    this.#store.addEvent(newEvent("CONFIG_CHANGED", "INFO", { changed, ...by }, now));
    core.settle(now);
    core.save(now);
  }

  #shardEvent(type: "SHARD_BUSY" | "SHARD_CALM", { shard, epoch }: CalmNotice, now: number): void {
    this.#store.addEvent(newEvent(type, "INFO", { shard, epoch }, now));
  }

  #mayInject(): boolean {
    return this.env.FAULT_INJECTION === "on";
  }
}

const noAnswer = () => new Error(`no answer within ${SYSTEM_TIMEOUT_MS} ms`);

function invalid(message: string): Refusal {
  return { ok: false, code: "INVALID_REQUEST", message };
}

function named({ actor, requestId }: Actor): Record<string, string> {
  return { actor, request_id: requestId };
}
