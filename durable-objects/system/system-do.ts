import { DurableObject } from "cloudflare:workers";
import initial from "../../migrations/system/0001_initial.sql";
import { serviceStub } from "../../src/bucket/stubs";
import { type EffectiveConfig, NOTIFICATION_SECTION, QUEUE_SECTION } from "../../src/shared/config";
import type { FailoverEnv } from "../../src/shared/env";
import type { EventBatch, EventsTaken } from "../../src/shared/event-batch";
import { boundServices } from "../../src/shared/probes";
import type { Answer } from "../../src/shared/protocol";
import { type Actor, type ConfigRecord, recordedEvent } from "../../src/shared/records";
import type { EventPage, SystemRpc } from "../../src/shared/rpc";
import { within } from "../../src/shared/within";
import { EventIntake } from "../shared/event-intake";
import { migrate } from "../shared/migrate";
import { checkedRule, configOf, configRecord, configRecords, descriptionOf } from "./config-table";
import { SystemStore } from "./system-store";

const MIGRATIONS = [{ name: "0001_initial", sql: initial }];
const PUSH_TIMEOUT_MS = 2_000;
/** Simultaneous outgoing connections of one object. */
const PUSHES_AT_ONCE = 6;

/** The one object above the services: who they are, the config in force, and the merged feed of events (DESIGN §8). */
export class SystemDO extends DurableObject<FailoverEnv> implements SystemRpc {
  readonly #store: SystemStore;
  readonly #intake: EventIntake;

  constructor(ctx: DurableObjectState, env: FailoverEnv) {
    super(ctx, env);
    migrate(ctx, MIGRATIONS);
    this.#store = new SystemStore(ctx.storage.sql);
    this.#intake = new EventIntake(ctx.storage.sql, this.#store.log);
  }

  async register(service: string): Promise<EffectiveConfig> {
    this.#store.addService(service, Date.now());
    return configOf(this.#store.config(), service);
  }

  async services(): Promise<string[]> {
    return this.#store.services();
  }

  async takeEvents(batch: EventBatch): Promise<EventsTaken> {
    const taken = this.#intake.take(batch, batch.source, Date.now());
    this.#store.trimEvents();
    return taken;
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
    await this.#push(section, by);
    return { ok: true, record };
  }

  /** A service that does not answer reads the config by itself, within a lease cap. */
  async #push(section: string, by: Actor): Promise<void> {
    if (section === NOTIFICATION_SECTION) return;
    const waiting = this.#store.services().filter((service) => section === QUEUE_SECTION || service === section);
    const pushNext = async (): Promise<void> => {
      for (let service = waiting.shift(); service !== undefined; service = waiting.shift()) {
        const config = configOf(this.#store.config(), service);
        await within(serviceStub(this.env, service).configChanged(config, by), PUSH_TIMEOUT_MS, noAnswer).catch(
          notPushed(service),
        );
      }
    };
    await Promise.all(Array.from({ length: PUSHES_AT_ONCE }, pushNext));
  }

  #known(): string[] {
    return [...new Set([...boundServices(this.env), ...this.#store.services()])];
  }
}

const noAnswer = () => new Error(`no answer within ${PUSH_TIMEOUT_MS} ms`);

const notPushed = (service: string) => (error: unknown) =>
  console.warn(JSON.stringify({ level: "warn", message: "config not pushed", service, error: String(error) }));
