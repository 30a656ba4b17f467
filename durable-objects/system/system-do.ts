import { DurableObject } from "cloudflare:workers";
import initial from "../../migrations/system/0001_initial.sql";
import { serviceStub } from "../../src/bucket/stubs";
import { type EffectiveConfig, NOTIFICATION_SECTION, QUEUE_SECTION } from "../../src/shared/config";
import { bucketBindings, type FailoverEnv } from "../../src/shared/env";
import type { Answer } from "../../src/shared/protocol";
import type { Actor, ConfigRecord } from "../../src/shared/records";
import type { SystemRpc } from "../../src/shared/rpc";
import { within } from "../../src/shared/within";
import { migrate } from "../shared/migrate";
import { checkedRule, configOf, configRecord, configRecords, descriptionOf } from "./config-table";
import { SystemStore } from "./system-store";

const MIGRATIONS = [{ name: "0001_initial", sql: initial }];
const PUSH_TIMEOUT_MS = 2_000;
/** Simultaneous outgoing connections of one object. */
const PUSHES_AT_ONCE = 6;

/** The one object above the services: who they are, and the config in force (DESIGN §8). */
export class SystemDO extends DurableObject<FailoverEnv> implements SystemRpc {
  readonly #store: SystemStore;

  constructor(ctx: DurableObjectState, env: FailoverEnv) {
    super(ctx, env);
    migrate(ctx, MIGRATIONS);
    this.#store = new SystemStore(ctx.storage.sql);
  }

  async register(service: string): Promise<EffectiveConfig> {
    this.#store.addService(service, Date.now());
    return configOf(this.#store.config(), service);
  }

  async services(): Promise<string[]> {
    return this.#store.services();
  }

  async config(): Promise<ConfigRecord[]> {
    return configRecords(this.#store.config(), this.#known());
  }

  async setConfig(section: string, key: string, value: unknown, by: Actor): Promise<Answer<{ record: ConfigRecord }>> {
    const rule = checkedRule(section, key, value);
    if ("ok" in rule) return rule;
    this.#store.saveConfig(section, key, Number(value), descriptionOf(key, rule), by.actor, Date.now());
    const record = configRecord(this.#store.config(), section, key, rule);
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
    return [...new Set([...bucketBindings(this.env).keys(), ...this.#store.services()])];
  }
}

const noAnswer = () => new Error(`no answer within ${PUSH_TIMEOUT_MS} ms`);

const notPushed = (service: string) => (error: unknown) =>
  console.warn(JSON.stringify({ level: "warn", message: "config not pushed", service, error: String(error) }));
