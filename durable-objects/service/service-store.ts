/** All SQL of the ServiceDO, as named statements over typed rows. */
import type { BusyKeys, FaultRule, ShardQuota, ShardUsage } from "../../src/shared/protocol";
import type { EventRecord, RecordedEvent } from "../../src/shared/records";
import { Cursors } from "../shared/cursors";
import { EventLog } from "../shared/event-log";

export interface StatusRow extends Record<string, SqlStorageValue> {
  service_name: string;
  status: string;
  circuit_breaker_state: string;
  /** JSON, as the columns `by_hand` and `config`. */
  health_metrics: string;
  degradation_reason: string | null;
  storage_id: string;
  version: number;
  shard_count: number;
  read_circuit: string;
  write_circuit: string;
  by_hand: string;
  paused: number;
  monitored: number;
  config: string;
  clock_offset_ms: number;
  queue_fill: string;
  trusted_until: number;
  last_write_success_at: number | null;
  last_check_at: number | null;
  created_at: number;
  updated_at: number;
}

export interface ShardRecord {
  readonly shard: number;
  readonly epoch: number;
  readonly busy: BusyKeys | null;
  readonly usage: ShardUsage;
  readonly quota: ShardQuota;
}

/** An event to be recorded. The same `id` again changes nothing. */
export type NewEvent = RecordedEvent & { readonly id: string };

/** Events kept; a subscriber that is further behind starts from a snapshot. */
const EVENTS_KEPT = 10_000;
/** Events kept because the system feed has not got them yet. Beyond, the feed will say that some were lost. */
const UNDELIVERED_KEPT = 100_000;

const STATUS_COLUMNS = [
  "service_name",
  "status",
  "circuit_breaker_state",
  "health_metrics",
  "degradation_reason",
  "storage_id",
  "version",
  "shard_count",
  "read_circuit",
  "write_circuit",
  "by_hand",
  "paused",
  "monitored",
  "config",
  "clock_offset_ms",
  "queue_fill",
  "trusted_until",
  "last_write_success_at",
  "last_check_at",
  "created_at",
  "updated_at",
] as const satisfies readonly (keyof StatusRow)[];

const SAVE_STATUS = `
  INSERT INTO service_status (id, ${STATUS_COLUMNS.join(", ")})
  VALUES (1, ${STATUS_COLUMNS.map(() => "?").join(", ")})
  ON CONFLICT (id) DO UPDATE SET ${STATUS_COLUMNS.map((column) => `${column} = excluded.${column}`).join(", ")}`;

export class ServiceStore {
  readonly log: EventLog;
  readonly cursors: Cursors;

  constructor(
    private readonly sql: SqlStorage,
    private readonly service: string,
  ) {
    this.log = new EventLog(sql);
    this.cursors = new Cursors(sql);
  }

  status(): StatusRow | null {
    return this.#all<StatusRow>(`SELECT ${STATUS_COLUMNS.join(", ")} FROM service_status WHERE id = 1`)[0] ?? null;
  }

  saveStatus(row: StatusRow): void {
    this.sql.exec(SAVE_STATUS, ...STATUS_COLUMNS.map((column) => row[column]));
  }

  shards(): ShardRecord[] {
    const rows = this.#all<{
      shard: number;
      epoch: number;
      busy: string;
      usage: string;
      quota_operations: number;
      quota_bytes: number;
    }>("SELECT shard, epoch, busy, usage, quota_operations, quota_bytes FROM shards ORDER BY shard");
    return rows.map((row) => ({
      shard: row.shard,
      epoch: row.epoch,
      busy: JSON.parse(row.busy) as BusyKeys | null,
      usage: JSON.parse(row.usage) as ShardUsage,
      quota: { operations: row.quota_operations, bytes: row.quota_bytes },
    }));
  }

  saveShard({ shard, epoch, busy, usage, quota }: ShardRecord, now: number): void {
    this.sql.exec(
      `INSERT INTO shards (shard, epoch, busy, usage, quota_operations, quota_bytes, updated_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, busy = excluded.busy, usage = excluded.usage,
         quota_operations = excluded.quota_operations, quota_bytes = excluded.quota_bytes, updated_at = excluded.updated_at`,
      shard,
      epoch,
      JSON.stringify(busy),
      JSON.stringify(usage),
      quota.operations,
      quota.bytes,
      now,
    );
  }

  faults(): FaultRule[] {
    const rows = this.#all<{ rule: string }>("SELECT rule FROM faults ORDER BY position");
    return rows.map((row) => JSON.parse(row.rule) as FaultRule);
  }

  saveFaults(rules: readonly FaultRule[]): void {
    this.sql.exec("DELETE FROM faults");
    for (const [position, rule] of rules.entries()) {
      this.sql.exec("INSERT INTO faults (position, rule) VALUES (?, ?)", position, JSON.stringify(rule));
    }
  }

  /** Appends the event under the next number, unless its id is known. */
  addEvent(event: NewEvent): void {
    if (this.log.append({ ...event, service_name: this.service }) !== null) this.#trimEvents();
  }

  /** Events after `since`, or the last ones; in order. */
  events(since: number | null, limit: number): EventRecord[] {
    return since === null ? this.log.latest(limit) : this.log.after(since, limit);
  }

  #trimEvents(): void {
    const { head } = this.log;
    if (head > EVENTS_KEPT) {
      this.log.trim(Math.min(head - EVENTS_KEPT, Math.max(this.cursors.load("feed"), head - UNDELIVERED_KEPT)));
    }
  }

  #all<Row extends Record<string, SqlStorageValue>>(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.sql.exec<Row>(query, ...bindings).toArray();
  }
}
