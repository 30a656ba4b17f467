import type { BusyKeys, DrainTerms, ShardQuota } from "../../src/shared/protocol";
import type { EventRecord } from "../../src/shared/records";

/** Who knows what of this shard. */
export interface BusyState {
  /** Rises whenever more becomes busy; never falls. */
  epoch: number;
  /** What is announced at `epoch`; null: calm. */
  busy: BusyKeys | null;
  /** A calm notice of this epoch is under way, or its answer was lost. */
  isCalming: boolean;
  /** The highest epoch that the ServiceDO has confirmed. */
  confirmedEpoch: number;
  /** When every lease has run out that was older than the confirmed epoch. */
  leasesEndAt: number;
  quota: ShardQuota;
}

const INITIAL: BusyState = {
  epoch: 0,
  busy: null,
  isCalming: false,
  confirmedEpoch: 0,
  leasesEndAt: 0,
  quota: { operations: 0, bytes: 0 },
};

export type OutboxEvent = Omit<EventRecord, "seq" | "service_name"> & { id: string };

/** Single values of the shard, and events on their way to the ServiceDO. */
export class MetaStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  busyState(): BusyState {
    return { ...INITIAL, ...(this.#read<BusyState>("busy") ?? {}) };
  }

  saveBusyState(state: BusyState): void {
    this.#write("busy", state);
  }

  terms(): DrainTerms | null {
    return this.#read<DrainTerms>("terms");
  }

  saveTerms(terms: DrainTerms): void {
    this.#write("terms", terms);
  }

  addEvent(event: OutboxEvent): void {
    this.#sql.exec("INSERT OR IGNORE INTO event_outbox (id, event) VALUES (?, ?)", event.id, JSON.stringify(event));
  }

  events(limit: number): OutboxEvent[] {
    return this.#sql
      .exec<{ event: string }>("SELECT event FROM event_outbox LIMIT ?", limit)
      .toArray()
      .map((row) => JSON.parse(row.event) as OutboxEvent);
  }

  removeEvent(id: string): void {
    this.#sql.exec("DELETE FROM event_outbox WHERE id = ?", id);
  }

  #read<T>(name: string): T | null {
    const row = this.#sql.exec<{ value: string }>("SELECT value FROM meta WHERE name = ?", name).toArray()[0];
    return row === undefined ? null : (JSON.parse(row.value) as T);
  }

  #write(name: string, value: unknown): void {
    this.#sql.exec(
      "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      name,
      JSON.stringify(value),
    );
  }
}
