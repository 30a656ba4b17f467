import type { EventCategory, EventRecord, EventType } from "../../src/shared/records";

/** An event to be recorded. The same `id` again changes nothing. */
export type LoggedEvent = Omit<EventRecord, "seq"> & { readonly id: string };

type Row = Record<keyof EventRecord, SqlStorageValue> & {
  seq: number;
  event_type: string;
  event_category: string;
  service_name: string;
  severity: string;
  event_data: string;
  created_at: string;
};

const COLUMNS = "seq, event_type, event_category, service_name, severity, event_data, created_at";

/**
 * The events of one object, numbered by itself without a gap: all SQL on its table `system_events`. What is old goes
 * from the low end, so the highest number is never given out again.
 */
export class EventLog {
  #head: number | null = null;

  constructor(private readonly sql: SqlStorage) {}

  /** The number of the last event; 0: there was none. */
  get head(): number {
    this.#head ??= this.#number("SELECT MAX(seq) AS n FROM system_events") ?? 0;
    return this.#head;
  }

  /** The number of the oldest event that is kept. Of an empty log, the next number. */
  get oldest(): number {
    return this.#number("SELECT MIN(seq) AS n FROM system_events") ?? this.head + 1;
  }

  /** Appends the event under the next number, unless its id is known. */
  append({ id, ...event }: LoggedEvent): EventRecord | null {
    const seq = this.head + 1;
    const { rowsWritten } = this.sql.exec(
      `INSERT INTO system_events (${COLUMNS}, event_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (event_id) DO NOTHING`,
      seq,
      event.event_type,
      event.event_category,
      event.service_name,
      event.severity,
      JSON.stringify(event.event_data),
      event.created_at,
      id,
    );
    if (rowsWritten === 0) return null;
    this.#head = seq;
    return { seq, ...event };
  }

  /** The first `limit` events after `seq`, in order. */
  after(seq: number, limit: number): EventRecord[] {
    return this.#events(`SELECT ${COLUMNS} FROM system_events WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit);
  }

  /** The last `limit` events, in order. */
  latest(limit: number): EventRecord[] {
    return this.#events(`SELECT ${COLUMNS} FROM system_events ORDER BY seq DESC LIMIT ?`, limit).reverse();
  }

  /** Lets go of everything up to `seq`. */
  trim(seq: number): void {
    if (seq > 0) this.sql.exec("DELETE FROM system_events WHERE seq <= ?", seq);
  }

  #number(query: string): number | null {
    return this.sql.exec<{ n: number | null }>(query).one().n;
  }

  #events(query: string, ...bindings: number[]): EventRecord[] {
    return this.sql
      .exec<Row>(query, ...bindings)
      .toArray()
      .map((row) => ({
        seq: row.seq,
        event_type: row.event_type as EventType,
        event_category: row.event_category as EventCategory,
        service_name: row.service_name,
        severity: row.severity as EventRecord["severity"],
        event_data: JSON.parse(row.event_data) as Record<string, unknown>,
        created_at: row.created_at,
      }));
  }
}
