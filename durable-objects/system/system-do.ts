import { DurableObject } from "cloudflare:workers";
import events from "../../migrations/shared/0001_events.sql";
import initial from "../../migrations/system/0001_initial.sql";
import { serviceStub } from "../../src/bucket/stubs";
import { atOnce } from "../../src/shared/at-once";
import { type EffectiveConfig, NOTIFICATION_SECTION, QUEUE_SECTION } from "../../src/shared/config";
import type { FailoverEnv } from "../../src/shared/env";
import type { EventBatch, FeedTaken, WatchedState } from "../../src/shared/event-batch";
import type { LiveState } from "../../src/shared/frames";
import { boundServices } from "../../src/shared/probes";
import type { Answer } from "../../src/shared/protocol";
import { sumQueues } from "../../src/shared/queue-record";
import { type Actor, type ConfigRecord, recordedEvent } from "../../src/shared/records";
import type { EventPage, SystemRpc } from "../../src/shared/rpc";
import { within } from "../../src/shared/within";
import { EventIntake } from "../shared/event-intake";
import { acceptSubscriber } from "../shared/live/accept";
import { Subscribers } from "../shared/live/subscribers";
import { migrate } from "../shared/migrate";
import { checkedRule, configOf, configRecord, configRecords, descriptionOf } from "./config-table";
import { SystemStore } from "./system-store";

const MIGRATIONS = [
  { name: "0001_initial", sql: initial },
  { name: "0001_events", sql: events },
];
const PUSH_TIMEOUT_MS = 2_000;
/** A new subscriber waits for a service's state so long, and no longer. */
const WATCH_TIMEOUT_MS = 1_000;
/** Longer than two heartbeats. */
const WATCH_MS = 90_000;
/** Simultaneous outgoing connections of one object. */
const CALLS_AT_ONCE = 6;

/** The one object above the services: who they are, the config in force, and the merged feed of events (DESIGN §8). */
export class SystemDO extends DurableObject<FailoverEnv> implements SystemRpc {
  readonly #store: SystemStore;
  readonly #intake: EventIntake;
  readonly #subscribers: Subscribers;
  /** By service: until when it tells of changes that are no events. */
  readonly #watchedUntil = new Map<string, number>();
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: FailoverEnv) {
    super(ctx, env);
    migrate(ctx, MIGRATIONS);
    this.#store = new SystemStore(ctx.storage.sql);
    this.#intake = new EventIntake(ctx.storage.sql, this.#store.log);
    const { log, cursors, storageId } = this.#store;
    this.#subscribers = new Subscribers(ctx, {
      log,
      epoch: () => storageId,
      state: () => liveState(this.#store.states()),
      cursors,
    });
    this.#settle(Date.now());
  }

  async register(service: string): Promise<EffectiveConfig> {
    this.#store.addService(service, Date.now());
    return configOf(this.#store.config(), service);
  }

  async services(): Promise<string[]> {
    return this.#store.services();
  }

  async takeEvents(batch: EventBatch): Promise<FeedTaken> {
    const now = Date.now();
    const { taken } = this.#intake.take(batch, batch.source, now);
    if (batch.state?.service.service_name === batch.source) this.#store.saveState(batch.state);
    this.#store.trimEvents();
    this.#settle(now);
    return { taken, watchMs: this.#subscribers.count > 0 ? WATCH_MS : 0 };
  }

  async events(since: number | null, limit: number): Promise<EventPage> {
    const { log, storageId } = this.#store;
    const events = since === null ? log.latest(limit) : log.after(since, limit);
    return { storageId, events, head: log.head, oldest: log.oldest };
  }

  async config(): Promise<ConfigRecord[]> {
    return configRecords(this.#store.config(), this.#known());
  }

  async setConfig(section: string, key: string, value: unknown, by: Actor): Promise<Answer<{ record: ConfigRecord }>> {
    const rule = checkedRule(section, key, value);
    if ("ok" in rule) return rule;
    const now = Date.now();
    const { config_value: from } = configRecord(this.#store.config(), section, key, rule);
    this.#store.saveConfig(section, key, Number(value), descriptionOf(key, rule), by.actor, now);
    const record = configRecord(this.#store.config(), section, key, rule);
    const data = { section, key, from, to: record.config_value, actor: by.actor, request_id: by.requestId };
    this.#store.addEvent(recordedEvent("CONFIG_SET", "INFO", data, now), section);
    this.#settle(now);
    await this.#push(section, by);
    return { ok: true, record };
  }

  // ── subscribers of all services ───────────────────────────────────────────────────────────────────────────────

  /** A subscriber. It gets the state of every service that answers. */
  override async fetch(request: Request): Promise<Response> {
    await this.#watchServices();
    const now = Date.now();
    const answer = acceptSubscriber(this.#subscribers, request, now);
    this.#settle(now);
    return answer;
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#subscribers.message(socket, message, Date.now());
  }

  override webSocketClose(socket: WebSocket): void {
    this.#subscribers.gone(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#subscribers.gone(socket);
  }

  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    if (this.#subscribers.count > 0) await this.#watchServices();
    this.#settle(Date.now());
  }

  /** Tells the subscribers what there is to tell, and sees to the next heartbeat. */
  #settle(now: number): void {
    this.#subscribers.publish(now);
    this.#subscribers.beat(now);
    const { heartbeatAt } = this.#subscribers;
    const isSet = this.#alarmAt !== null && this.#alarmAt > now;
    if (heartbeatAt === null || isSet) return;
    this.#alarmAt = heartbeatAt;
    void this.ctx.storage.setAlarm(heartbeatAt);
  }

  /** Services tell of their state while they are watched. One that does not answer is asked again at the next heartbeat. */
  async #watchServices(): Promise<void> {
    const now = Date.now();
    const due = this.#known().filter((service) => (this.#watchedUntil.get(service) ?? 0) < now + WATCH_MS / 2);
    await atOnce(CALLS_AT_ONCE, due, async (service) => {
      this.#watchedUntil.set(service, now + WATCH_MS);
      try {
        const answer = serviceStub(this.env, service).watch(WATCH_MS);
        this.#store.saveState(await within(answer, WATCH_TIMEOUT_MS, noAnswer(WATCH_TIMEOUT_MS)));
      } catch (error) {
        logFailed("a service does not tell its state", service)(error);
      }
    });
  }

  // ── config ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A service that does not answer reads the config by itself, within a lease cap. */
  async #push(section: string, by: Actor): Promise<void> {
    if (section === NOTIFICATION_SECTION) return;
    const concerned = this.#store.services().filter((service) => section === QUEUE_SECTION || service === section);
    await atOnce(CALLS_AT_ONCE, concerned, async (service) => {
      const config = configOf(this.#store.config(), service);
      const pushed = serviceStub(this.env, service).configChanged(config, by);
      await within(pushed, PUSH_TIMEOUT_MS, noAnswer(PUSH_TIMEOUT_MS)).catch(logFailed("config not pushed", service));
    });
  }

  #known(): string[] {
    return [...new Set([...boundServices(this.env), ...this.#store.services()])];
  }
}

function liveState(states: readonly WatchedState[]): LiveState {
  return { services: states.map(({ service }) => service), queue: sumQueues(states.map(({ queue }) => queue)) };
}

const noAnswer = (ms: number) => () => new Error(`no answer within ${ms} ms`);

const logFailed = (message: string, service: string) => (error: unknown) =>
  console.warn(JSON.stringify({ level: "warn", message, service, error: String(error) }));
