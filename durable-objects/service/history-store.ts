/** The SQL of a service's past: rollups of calls, and how its state changed. */
import type { CircuitState, OperationClass } from "../../src/shared/protocol";
import type { ServiceStatus } from "../../src/shared/records";
import type { ServedCounts } from "./availability";
import type { Incident } from "./incidents";
import { addClass, type ClassTally, emptyTally, type Tally } from "./tally";
import type { KnownState, StateChange } from "./timeline";

export type Resolution = "minute" | "hour" | "total";

/** What is stored of who has looked, and when. */
export interface Observation {
  readonly dirtySince: number | null;
  readonly observedAt: number;
}

interface RollupRow extends Record<string, SqlStorageValue> {
  started_at: number;
  class: OperationClass;
  success: number;
  failure: number;
  throttled: number;
  ignored: number;
  rejected: number;
  latency: string;
}

interface StateRow extends Record<string, SqlStorageValue> {
  started_at: number;
  status: ServiceStatus | null;
  read_circuit: CircuitState | null;
  write_circuit: CircuitState | null;
}

const ROLLUP_COLUMNS = "started_at, class, success, failure, throttled, ignored, rejected, latency";
const STATE_COLUMNS = "started_at, status, read_circuit, write_circuit";

export class HistoryStore {
  constructor(private readonly sql: SqlStorage) {}

  observation(): Observation | null {
    const row = this.#all<{ dirty_since: number | null; observed_at: number }>(
      "SELECT dirty_since, observed_at FROM observation WHERE id = 1",
    )[0];
    return row === undefined ? null : { dirtySince: row.dirty_since, observedAt: row.observed_at };
  }

  saveObservation({ dirtySince, observedAt }: Observation): void {
    this.sql.exec(
      `INSERT INTO observation (id, dirty_since, observed_at) VALUES (1, ?, ?)
       ON CONFLICT (id) DO UPDATE SET dirty_since = excluded.dirty_since, observed_at = excluded.observed_at`,
      dirtySince,
      observedAt,
    );
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Adds to what is stored of the stretch that begins at `startedAt`. */
  addRollup(span: Resolution, startedAt: number, operationClass: OperationClass, tally: ClassTally): void {
    const sum = emptyTally()[operationClass];
    addClass(sum, tally);
    const stored = this.#all<RollupRow>(
      `SELECT ${ROLLUP_COLUMNS} FROM metric_rollups WHERE span = ? AND started_at = ? AND class = ?`,
      span,
      startedAt,
      operationClass,
    )[0];
    if (stored !== undefined) addClass(sum, classTally(stored));
    this.sql.exec(
      `INSERT OR REPLACE INTO metric_rollups (span, ${ROLLUP_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      span,
      startedAt,
      operationClass,
      sum.success,
      sum.failure,
      sum.throttled,
      sum.ignored,
      sum.rejected,
      JSON.stringify(sum.latency),
    );
  }

  /** By when they began. */
  rollups(span: Resolution, from: number): Map<number, Tally> {
    const rows = this.#all<RollupRow>(
      `SELECT ${ROLLUP_COLUMNS} FROM metric_rollups WHERE span = ? AND started_at >= ?`,
      span,
      from,
    );
    const found = new Map<number, Tally>();
    for (const row of rows) {
      const tally = found.get(row.started_at) ?? emptyTally();
      addClass(tally[row.class], classTally(row));
      found.set(row.started_at, tally);
    }
    return found;
  }

  served(span: Resolution, from: number): Record<OperationClass, ServedCounts> {
    const counts = { read: { success: 0, failure: 0, rejected: 0 }, write: { success: 0, failure: 0, rejected: 0 } };
    const rows = this.#all<{ class: OperationClass; success: number; failure: number; rejected: number }>(
      `SELECT class, SUM(success) AS success, SUM(failure) AS failure, SUM(rejected) AS rejected
       FROM metric_rollups WHERE span = ? AND started_at >= ? GROUP BY class`,
      span,
      from,
    );
    for (const { class: operationClass, ...sums } of rows) counts[operationClass] = sums;
    return counts;
  }

  sweepRollups(span: Resolution, before: number): void {
    this.sql.exec("DELETE FROM metric_rollups WHERE span = ? AND started_at < ?", span, before);
  }

  addGap(from: number, to: number): void {
    this.sql.exec("INSERT OR REPLACE INTO metric_gaps (started_at, ended_at) VALUES (?, ?)", from, to);
  }

  gaps(from: number): { readonly from: number; readonly to: number }[] {
    return this.#all<{ from: number; to: number }>(
      "SELECT started_at AS 'from', ended_at AS 'to' FROM metric_gaps WHERE ended_at >= ?",
      from,
    );
  }

  sweepGaps(before: number): void {
    this.sql.exec("DELETE FROM metric_gaps WHERE ended_at < ?", before);
  }

  // ── incidents ─────────────────────────────────────────────────────────────────────────────────────────────────

  saveIncident(incident: Incident): void {
    this.sql.exec(
      `INSERT INTO incidents (incident_id, opened_at, closed_at, incident) VALUES (?, ?, ?, ?)
       ON CONFLICT (incident_id) DO UPDATE SET closed_at = excluded.closed_at, incident = excluded.incident`,
      incident.id,
      incident.openedAt,
      incident.closedAt,
      JSON.stringify(incident),
    );
  }

  /** Newest first. */
  incidents(limit: number): Incident[] {
    return this.#all<{ incident: string }>("SELECT incident FROM incidents ORDER BY opened_at DESC LIMIT ?", limit).map(
      ({ incident }) => JSON.parse(incident) as Incident,
    );
  }

  sweepIncidents(before: number): void {
    this.sql.exec("DELETE FROM incidents WHERE closed_at < ?", before);
  }

  // ── states ────────────────────────────────────────────────────────────────────────────────────────────────────

  addState({ startedAt, state }: StateChange): void {
    this.sql.exec(
      `INSERT INTO state_intervals (${STATE_COLUMNS}) VALUES (?, ?, ?, ?)`,
      startedAt,
      state?.status ?? null,
      state?.circuits.read ?? null,
      state?.circuits.write ?? null,
    );
  }

  lastState(): KnownState | null {
    const row = this.#all<StateRow>(`SELECT ${STATE_COLUMNS} FROM state_intervals ORDER BY id DESC LIMIT 1`)[0];
    return row === undefined ? null : stateChange(row).state;
  }

  /** The changes since `from`, oldest first, after the one that was in force then. */
  statesSince(from: number): StateChange[] {
    return this.#all<StateRow>(
      `SELECT ${STATE_COLUMNS} FROM state_intervals
       WHERE id >= COALESCE(
         (SELECT id FROM state_intervals WHERE started_at <= ? ORDER BY started_at DESC, id DESC LIMIT 1), 0)
       ORDER BY id`,
      from,
    ).map(stateChange);
  }

  /** All but the one in force at `before`, and what came later. */
  sweepStates(before: number): void {
    this.sql.exec(
      `DELETE FROM state_intervals WHERE id <
         (SELECT id FROM state_intervals WHERE started_at <= ? ORDER BY started_at DESC, id DESC LIMIT 1)`,
      before,
    );
  }

  #all<Row extends Record<string, SqlStorageValue>>(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.sql.exec<Row>(query, ...bindings).toArray();
  }
}

function classTally({ success, failure, throttled, ignored, rejected, latency }: RollupRow): ClassTally {
  return { success, failure, throttled, ignored, rejected, latency: JSON.parse(latency) as number[] };
}

function stateChange({
  started_at: startedAt,
  status,
  read_circuit: read,
  write_circuit: write,
}: StateRow): StateChange {
  const isKnown = status !== null && read !== null && write !== null;
  return { startedAt, state: isKnown ? { status, circuits: { read, write } } : null };
}
