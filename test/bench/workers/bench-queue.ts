import { CallStore } from "../../../durable-objects/queue/call-store";
import { Room } from "../../../durable-objects/queue/capacity";
import { claimReady } from "../../../durable-objects/queue/claim";
import { MetaStore } from "../../../durable-objects/queue/meta-store";
import { PayloadCipher } from "../../../durable-objects/queue/payload-cipher";
import { PayloadStore } from "../../../durable-objects/queue/payload-store";
import { Pins } from "../../../durable-objects/queue/pins";
import { QueueDO } from "../../../durable-objects/queue/queue-do";
import { QueueStore } from "../../../durable-objects/queue/queue-store";
import { PRIORITY_STEP_MS } from "../../../durable-objects/queue/schedule";
import { ServiceLink } from "../../../durable-objects/queue/service-link";
import type { Shard } from "../../../durable-objects/queue/shard";
import { PLAIN_STEPS } from "../../../durable-objects/queue/steps";
import { UploadStore } from "../../../durable-objects/queue/upload-store";

export interface Preload {
  /** The operation whose rows are copied: one that `enqueue` has accepted. */
  readonly template: string;
  readonly count: number;
  /** Distinct for every preload: keys and operation ids begin with it. */
  readonly prefix: string;
  /** The operations wait this long for a call that may yet land; 0: they are ready. */
  readonly stuckMs: number;
}

export interface Drained {
  readonly operations: number;
  /** From the first call to R2 to the last completion. */
  readonly ms: number;
}

/** A number for every copy: 1 to the first parameter. */
const NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?1)";

/** The real shard, and a way to fill it with 100,000 operations in seconds. */
export class BenchQueueDO extends QueueDO {
  #parts: Shard | null = null;

  /** Copies the rows of an accepted operation. The shard must be restarted after it: it counts its rows when it starts. */
  async preload({ template, count, prefix, stuckMs }: Preload): Promise<void> {
    const { sql } = this.ctx.storage;
    const stuckUntil = Date.now() + stuckMs;
    const changed: Record<string, string> = { operation_id: "?3 || i", key: "?3 || i" };
    if (stuckMs > 0) Object.assign(changed, { phase: "'waiting'", scheduled_at: String(stuckUntil) });
    this.#copy("operation_queue", changed, count, template, prefix);
    this.#copy("payload_chunks", { operation_id: "?3 || i" }, count, template, prefix);
    if (stuckMs === 0) return;
    sql.exec(
      `${NUMBERS} INSERT INTO outstanding_calls (call_id, key, kind, operation_id, until)
       SELECT ?2 || i, ?2 || i, 'direct', ?2 || i, ?3 FROM numbers`,
      count,
      prefix,
      stuckUntil,
    );
  }

  async restart(): Promise<void> {
    this.ctx.abort("restarted by the benchmark");
  }

  /** Stored chunks of payloads, those included that are about to be freed. */
  async chunks(): Promise<number> {
    return this.ctx.storage.sql.exec<{ count: number }>("SELECT COUNT(*) AS count FROM payload_chunks").one().count;
  }

  async drained(prefix: string): Promise<Drained> {
    return this.ctx.storage.sql
      .exec<{ operations: number; ms: number }>(
        `SELECT COUNT(*) AS operations, MAX(completed_at) - MIN(first_call_at) AS ms FROM operation_queue
         WHERE status = 'COMPLETED' AND key GLOB ?`,
        `${prefix}*`,
      )
      .one();
  }

  /** Claims `batch` operations as the drain does and gives them back, `count` times: the rows are then as before. */
  async claim(count: number, batch: number): Promise<void> {
    this.#parts ??= this.#openParts();
    const { store, calls } = this.#parts;
    for (let i = 0; i < count; i += 1) {
      const claims = claimReady(this.#parts, batch);
      if (claims.length !== batch) throw new Error(`${claims.length} claims instead of ${batch}`);
      const now = Date.now();
      for (const { row, lease } of claims) {
        calls.close(lease);
        store.release({ ...row, status: "PROCESSING" }, now, now);
      }
      store.promote(now, batch, PRIORITY_STEP_MS);
    }
  }

  /** Parts of our own over the same rows: those of the real object are its own affair. */
  #openParts(): Shard {
    const { sql } = this.ctx.storage;
    const store = new QueueStore(sql);
    const meta = new MetaStore(sql);
    const stub = () => {
      throw new Error("a claim asks nobody");
    };
    return {
      service: "",
      store,
      calls: new CallStore(sql),
      payloads: new PayloadStore(sql),
      uploads: new UploadStore(sql),
      meta,
      link: new ServiceLink({ shard: 0, meta, usage: () => store.usage(), stub }),
      cipher: new PayloadCipher(undefined, undefined),
      pins: new Pins(),
      room: new Room(),
      bucket: this.env.R2_BUCKET,
      steps: PLAIN_STEPS,
      changed: () => undefined,
    };
  }

  /** By whatever columns the table has, so that a copy is always what `accept` would have inserted. */
  #copy(table: string, changed: Record<string, string>, count: number, template: string, prefix: string): void {
    const { sql } = this.ctx.storage;
    const { columnNames } = sql.exec(`SELECT * FROM ${table} LIMIT 0`);
    const columns = columnNames.filter((name) => name !== "id");
    const values = columns.map((name) => changed[name] ?? name);
    sql.exec(
      `${NUMBERS} INSERT INTO ${table} (${columns.join(", ")})
       SELECT ${values.join(", ")} FROM ${table}, numbers WHERE operation_id = ?2`,
      count,
      template,
      prefix,
    );
  }
}
