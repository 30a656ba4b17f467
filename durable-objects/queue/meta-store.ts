import type { SourcedEvent } from "../../src/shared/event-batch";
import type { BusyKeys, DrainTerms, ShardQuota } from "../../src/shared/protocol";
import type { RecordedEvent } from "../../src/shared/records";

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

/** Events kept while the ServiceDO does not take them. Beyond, it will record that some were lost. */
const EVENTS_KEPT = 20_000;
const TRIM_EVERY = 100;

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

  /** Identity of this storage, made at first use. */
  storageId(): string {
    const held = this.#read<string>("storage_id");
    if (held !== null) return held;
    const made = crypto.randomUUID();
    this.#write("storage_id", made);
    return made;
  }

  addEvent(event: RecordedEvent): void {
    const { seq } = this.#sql
      .exec<{ seq: number }>("INSERT INTO event_outbox (event) VALUES (?) RETURNING seq", JSON.stringify(event))
      .one();
    if (seq % TRIM_EVERY === 0) this.removeEvents(seq - EVENTS_KEPT);
  }

  /** The oldest first. */
  events(limit: number): SourcedEvent[] {
    return this.#sql
      .exec<{ seq: number; event: string }>("SELECT seq, event FROM event_outbox ORDER BY seq LIMIT ?", limit)
      .toArray()
      .map(({ seq, event }) => ({ seq, ...(JSON.parse(event) as RecordedEvent) }));
  }

  /** Those up to `seq`, which the ServiceDO has. */
  removeEvents(seq: number): void {
    this.#sql.exec("DELETE FROM event_outbox WHERE seq <= ?", seq);
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
