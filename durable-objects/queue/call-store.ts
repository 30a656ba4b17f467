import type { Ledger } from "../../src/shared/protocol";

export type CallKind = "ticket" | "direct" | "drain";

export interface OutstandingCall {
  readonly call_id: string;
  readonly key: string;
  readonly kind: CallKind;
  readonly operation_id: string | null;
  readonly until: number;
}

/** All SQL on calls that may yet land in R2, and on what is remembered of them. */
export class CallStore {
  readonly #sql: SqlStorage;
  #blocking: number;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#blocking = this.#count();
  }

  /** Calls other than tickets: they make the shard busy. */
  get blocking(): number {
    return this.#blocking;
  }

  /** A repeated call id is the same call. */
  open(call: OutstandingCall): void {
    if (call.kind !== "ticket" && this.get(call.call_id)?.kind !== call.kind) this.#blocking += 1;
    this.#sql.exec(
      `INSERT INTO outstanding_calls (call_id, key, kind, operation_id, until) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (call_id) DO UPDATE SET until = MAX(until, excluded.until), kind = excluded.kind`,
      call.call_id,
      call.key,
      call.kind,
      call.operation_id,
      call.until,
    );
  }

  close(callId: string): void {
    const gone = this.#all("DELETE FROM outstanding_calls WHERE call_id = ? RETURNING *", callId);
    this.#blocking -= gone.filter((call) => call.kind !== "ticket").length;
  }

  get(callId: string): OutstandingCall | null {
    return this.#all("SELECT * FROM outstanding_calls WHERE call_id = ?", callId)[0] ?? null;
  }

  /** A ticket whose call has an unknown end blocks its key like any other given-up call. */
  becomeDirect(callId: string): void {
    const call = this.get(callId);
    if (call !== null) this.open({ ...call, kind: "direct" });
  }

  of(key: string): OutstandingCall[] {
    return this.#all("SELECT * FROM outstanding_calls WHERE key = ?", key);
  }

  keys(limit: number): string[] {
    return this.#sql
      .exec<{ key: string }>("SELECT DISTINCT key FROM outstanding_calls WHERE kind <> 'ticket' LIMIT ?", limit)
      .toArray()
      .map((row) => row.key);
  }

  nextUntil(): number | null {
    const row = this.#sql
      .exec<{ until: number }>("SELECT until FROM outstanding_calls ORDER BY until LIMIT 1")
      .toArray()[0];
    return row?.until ?? null;
  }

  /** Removes the calls that can no longer land over anything newer. Returns their keys. */
  expire(now: number): string[] {
    const gone = this.#all("DELETE FROM outstanding_calls WHERE until <= ? RETURNING *", now);
    this.#blocking -= gone.filter((call) => call.kind !== "ticket").length;
    return [...new Set(gone.map((row) => row.key))];
  }

  // ── the ledger ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The version that R2 got from the queue last; an earlier one cannot come back. */
  rememberApplied(key: string, version: string, now: number): void {
    this.#sql.exec("DELETE FROM ledger WHERE key = ? AND version IS NOT NULL", key);
    this.#sql.exec("INSERT INTO ledger (key, version, at) VALUES (?, ?, ?)", key, version, now);
  }

  /** A version that is known to be older than what is queued. */
  rememberOlder(key: string, version: string, now: number): void {
    this.#sql.exec("INSERT INTO ledger (key, version, at) VALUES (?, ?, ?)", key, version, now);
  }

  rememberUnknownPut(key: string, fingerprint: string, startedAt: number): void {
    this.#sql.exec("INSERT INTO ledger (key, fingerprint, at) VALUES (?, ?, ?)", key, fingerprint, startedAt);
  }

  ledger(key: string, clockOffsetMs: number): Ledger {
    const rows = this.#sql
      .exec<{ version: string | null; fingerprint: string | null; at: number }>(
        "SELECT version, fingerprint, at FROM ledger WHERE key = ?",
        key,
      )
      .toArray();
    return {
      appliedVersions: rows.flatMap((row) => (row.version === null ? [] : [row.version])),
      unknownPuts: rows.flatMap((row) =>
        row.fingerprint === null ? [] : [{ fingerprint: row.fingerprint, startedAt: row.at }],
      ),
      clockOffsetMs,
    };
  }

  /** Forgets what is older than `before` of keys on which nothing is queued or outstanding any more. */
  sweepLedger(before: number): void {
    this.#sql.exec(
      `DELETE FROM ledger WHERE at < ?
         AND NOT EXISTS (SELECT 1 FROM operation_queue WHERE operation_queue.key = ledger.key AND phase <> 'final')
         AND NOT EXISTS (SELECT 1 FROM outstanding_calls WHERE outstanding_calls.key = ledger.key)`,
      before,
    );
  }

  #count(): number {
    return this.#sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM outstanding_calls WHERE kind <> 'ticket'").one().n;
  }

  #all(query: string, ...bindings: SqlStorageValue[]): OutstandingCall[] {
    return this.#sql.exec(query, ...bindings).toArray() as unknown as OutstandingCall[];
  }
}
