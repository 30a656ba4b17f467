/** All SQL of the SystemDO, as named statements over typed rows. */
import type { WatchedState } from "../../src/shared/event-batch";
import type { RecordedEvent } from "../../src/shared/records";
import { Cursors } from "../shared/cursors";
import { EventLog } from "../shared/event-log";

/** Events of the merged feed that are kept; a subscriber that is further behind starts from a snapshot. */
const EVENTS_KEPT = 50_000;

export interface ConfigRow extends Record<string, SqlStorageValue> {
  service_name: string;
  config_key: string;
  config_value: string;
  updated_at: number;
  updated_by: string;
}

export class SystemStore {
  readonly log: EventLog;
  readonly cursors: Cursors;
  /** Identity of this storage: the feed's epoch. */
  readonly storageId: string;

  constructor(private readonly sql: SqlStorage) {
    this.log = new EventLog(sql);
    this.cursors = new Cursors(sql);
    sql.exec("INSERT INTO identity (id, storage_id) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", crypto.randomUUID());
    this.storageId = sql.exec<{ storage_id: string }>("SELECT storage_id FROM identity WHERE id = 1").one().storage_id;
  }

  /** Appends an event of this object's own to the feed. */
  addEvent(event: RecordedEvent, about: string): void {
    this.log.append({ ...event, service_name: about, id: crypto.randomUUID() });
  }

  /** What the services said last of their states, by name. */
  states(): WatchedState[] {
    return this.sql
      .exec<{ state: string }>("SELECT state FROM service_states ORDER BY service_name")
      .toArray()
      .map(({ state }) => JSON.parse(state) as WatchedState);
  }

  saveState(state: WatchedState): void {
    this.sql.exec(
      `INSERT INTO service_states (service_name, state, as_of) VALUES (?, ?, ?)
       ON CONFLICT (service_name) DO UPDATE SET state = excluded.state, as_of = excluded.as_of
       WHERE excluded.as_of >= as_of`,
      state.service.service_name,
      JSON.stringify(state),
      state.asOf,
    );
  }

  trimEvents(): void {
    this.log.trim(this.log.head - EVENTS_KEPT);
  }

  addService(service: string, now: number): void {
    this.sql.exec(
      "INSERT INTO services (service_name, registered_at) VALUES (?, ?) ON CONFLICT (service_name) DO NOTHING",
      service,
      now,
    );
  }

  services(): string[] {
    return this.sql
      .exec<{ service_name: string }>("SELECT service_name FROM services ORDER BY service_name")
      .toArray()
      .map((row) => row.service_name);
  }

  /** What was set, of all sections. */
  config(): ConfigRow[] {
    return this.sql
      .exec<ConfigRow>("SELECT service_name, config_key, config_value, updated_at, updated_by FROM failover_config")
      .toArray();
  }

  saveConfig(section: string, key: string, value: number, description: string, by: string, now: number): void {
    this.sql.exec(
      `INSERT INTO failover_config (service_name, config_key, config_value, description, updated_at, updated_by)
       VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (service_name, config_key) DO UPDATE SET config_value = excluded.config_value,
         description = excluded.description, updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
      section,
      key,
      String(value),
      description,
      now,
      by,
    );
  }
}
