/** One service under test: its objects, its isolates, and what can be done to them from outside. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { queueStub, serviceStub } from "../../../src/bucket/stubs";
import { shardName, shardOf, shardOfOperation } from "../../../src/shared/keys";
import type { FaultRule, Snapshot } from "../../../src/shared/protocol";
import type { Actor, OperationRecord } from "../../../src/shared/records";
import type { ModeChange, SystemRpc } from "../../../src/shared/rpc";
import type { Isolate } from "./isolates";

const SHARDS = 2;
const WRITE_TIMEOUT_MS = 80;
const READ_TIMEOUT_MS = 300;

const HURRY_EVERY_MS = 500;

const BY: Actor = { actor: "model", requestId: "model" };

/** Rows of a shard that must be gone when it is calm. */
export interface Leftovers {
  readonly live: number;
  readonly receipts: number;
  readonly chunks: number;
  readonly calls: number;
  readonly events: number;
  readonly busy: boolean;
}

const system = () => env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system")) as unknown as SystemRpc;

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function setConfig(section: string, values: Readonly<Record<string, number>>): Promise<void> {
  for (const [key, value] of Object.entries(values)) {
    const answer = await system().setConfig(section, key, value, BY);
    if (!answer.ok) throw new Error(`${section} ${key}: ${answer.message}`);
  }
}

/** What all services share. Before the first one is used. */
export async function configureQueues(processingInterval = 100): Promise<void> {
  await setConfig("OPERATION_QUEUE", { shards: SHARDS, processing_interval: processingInterval });
}

export class TestService {
  private constructor(
    readonly name: string,
    readonly isolates: readonly Isolate[],
  ) {}

  /** A service of its own over the one bucket, with short timers. */
  static async open(
    name: string,
    open: readonly ((service: string) => Isolate)[],
    config: Readonly<Record<string, number>> = {},
  ): Promise<TestService> {
    const known: Record<string, string> = JSON.parse(env.R2_SERVICES ?? "{}");
    env.R2_SERVICES = JSON.stringify({ ...known, [name]: "R2_BUCKET" });
    await setConfig(name, {
      write_timeout_ms: WRITE_TIMEOUT_MS,
      read_timeout_ms: READ_TIMEOUT_MS,
      lease_cap_ms: 200,
      circuit_breaker_timeout: 200,
      health_check_interval: 1_000,
      retry_delay_ms: 1,
      ...config,
    });
    const service = new TestService(
      name,
      open.map((isolate) => isolate(name)),
    );
    await service.refresh();
    return service;
  }

  key(n: number): string {
    return `${this.name}/key-${n}`;
  }

  shardOf(key: string): number {
    return shardOf(key, SHARDS);
  }

  get service() {
    return serviceStub(env, this.name);
  }

  queue(shard: number) {
    return queueStub(env, this.name, shard);
  }

  #adopt(snapshot: Snapshot, isolates: readonly Isolate[]): void {
    for (const isolate of isolates) isolate.adopt(snapshot);
  }

  async refresh(): Promise<void> {
    await Promise.all(this.isolates.map((isolate) => isolate.refresh()));
  }

  /** Acts at once in `isolates`, and in the others after a lease. */
  async setFaults(rules: readonly FaultRule[], isolates = this.isolates): Promise<void> {
    const answer = await this.service.setFaults(rules, BY);
    if (!answer.ok) throw new Error(answer.message);
    this.#adopt(answer.snapshot, isolates);
  }

  async setMode(mode: ModeChange["mode"], isolates = this.isolates): Promise<void> {
    const answer = await this.service.setMode({ mode, circuits: ["write"], reason: "model" }, BY);
    if (!answer.ok) throw new Error(answer.message);
    this.#adopt(answer.snapshot, isolates);
  }

  async setPaused(paused: boolean): Promise<void> {
    await this.service.setPaused(paused, BY);
  }

  /** True: the operation was cancelled. */
  async cancel(operationId: string): Promise<boolean> {
    return (await this.queue(shardOfOperation(operationId) ?? 0).cancel(operationId, BY)).ok;
  }

  async retry(operationId: string): Promise<void> {
    await this.queue(shardOfOperation(operationId) ?? 0).retry(operationId, false, BY);
  }

  /** The shard's object dies at once, with everything it has in its hands. */
  async abortShard(shard: number): Promise<void> {
    const stub = env.QUEUE_DO.get(env.QUEUE_DO.idFromName(shardName(this.name, shard)));
    await runInDurableObject(stub, (_, state) => state.abort("the model kills the shard")).catch(() => undefined);
  }

  async abortService(): Promise<void> {
    const stub = env.SERVICE_DO.get(env.SERVICE_DO.idFromName(this.name));
    await runInDurableObject(stub, (_, state) => state.abort("the model kills the service")).catch(() => undefined);
  }

  /** Aborts that are owed to R2 are due now. */
  async hurryAborts(key: string): Promise<void> {
    const stub = env.QUEUE_DO.get(env.QUEUE_DO.idFromName(shardName(this.name, this.shardOf(key))));
    await runInDurableObject(stub, (_, state) => {
      state.storage.sql.exec("UPDATE uploads SET abort_at = 0 WHERE state = 'aborted'");
    });
    await this.queue(this.shardOf(key)).poke();
  }

  async operations(): Promise<OperationRecord[]> {
    const pages = await Promise.all(
      Array.from({ length: SHARDS }, (_, shard) => this.queue(shard).operations({ limit: 1_000 })),
    );
    return pages.flat();
  }

  async leftovers(shard: number): Promise<Leftovers> {
    const stub = env.QUEUE_DO.get(env.QUEUE_DO.idFromName(shardName(this.name, shard)));
    return runInDurableObject(stub, (_, state) => {
      const { sql } = state.storage;
      const count = (from: string) => sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${from}`).one().n;
      const busy = sql.exec<{ value: string }>("SELECT value FROM meta WHERE name = 'busy'").toArray()[0];
      return {
        live: count("operation_queue WHERE phase <> 'final'"),
        receipts: count("receipts"),
        chunks: count("payload_chunks"),
        calls: count("outstanding_calls"),
        events: count("event_outbox"),
        busy: busy !== undefined && JSON.parse(busy.value).busy !== null,
      };
    });
  }

  /** No fault, no pause, no mode by hand. */
  async heal(): Promise<void> {
    await this.setFaults([]);
    await this.setMode("auto");
    await this.setPaused(false);
  }

  /** Dead letters are driven anew, and nothing waits for its backoff. */
  async #hurry(): Promise<void> {
    for (const { operation_id, status } of await this.operations()) {
      if (status === "FAILED" || status === "PENDING") await this.retry(operation_id);
    }
  }

  /** Waits until every shard is empty and calm, while an operator does what he can. Throws with what is left after `ms`. */
  async drained(ms: number, everyMs = 40): Promise<void> {
    const until = Date.now() + ms;
    let hurriedAt = 0;
    for (;;) {
      if (Date.now() > hurriedAt + HURRY_EVERY_MS) {
        await this.#hurry();
        hurriedAt = Date.now();
      }
      const shards = await Promise.all(Array.from({ length: SHARDS }, (_, shard) => this.leftovers(shard)));
      if (shards.every((shard) => Object.values(shard).every((left) => Number(left) === 0))) return;
      if (Date.now() > until) {
        const operations = (await this.operations()).filter(({ completed_at }) => completed_at === null);
        throw new Error(`not drained after ${ms} ms: ${JSON.stringify({ shards, operations })}`);
      }
      await pause(everyMs);
    }
  }

  /** Its alarms must not take the time of the services that come after. */
  async close(): Promise<void> {
    await setConfig(this.name, { health_check_interval: 3_600_000 });
  }
}
