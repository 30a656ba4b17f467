import type { OperationStatus, ShardUsage } from "../../src/shared/protocol";
import type { OperationFilter } from "../../src/shared/rpc";
import type { OperationRow, Phase } from "./operation-row";
import type { PendingRow } from "./pending";

export interface NewOperation {
  readonly operationId: string;
  readonly type: OperationRow["operation_type"];
  readonly payload: string;
  readonly priority: number;
  readonly maxRetries: number | null;
  readonly userId: string | null;
  readonly fileId: string | null;
  readonly key: string;
  readonly keyId: string | null;
  readonly now: number;
  readonly score: number;
  readonly fenceAt: number;
  readonly firstCallAt: number | null;
  readonly needsEpoch: number;
  readonly size: number;
  readonly heldBytes: number;
  readonly etag: string;
  readonly checksums: string;
  readonly fingerprint: string | null;
  readonly uploadId: string | null;
}

interface Failure {
  readonly retryCount: number;
  readonly unchargedAt: number | null;
  readonly notBefore: number;
  readonly error: string;
}

type Counts = Record<OperationStatus, number>;

/**
 * All SQL on `operation_queue`. Every change of status goes through here, so that the counts kept in memory (a count
 * over 100,000 rows would cost more than the operation) always equal the rows; they are counted anew at construction.
 */
export class QueueStore {
  readonly #sql: SqlStorage;
  readonly #counts: Counts = {
    PENDING: 0,
    PROCESSING: 0,
    COMPLETED: 0,
    CANCELLED: 0,
    SUPERSEDED: 0,
    FAILED: 0,
  };
  #liveBytes = 0;
  #parkedBytes = 0;
  /** Of all time: how many operations were inserted, and how many were swept again. */
  #accepted: number;
  #swept: number;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const rows = this.#all<{ status: keyof Counts; phase: Phase; n: number; bytes: number }>(
      "SELECT status, phase, COUNT(*) AS n, SUM(held_bytes) AS bytes FROM operation_queue GROUP BY status, phase",
    );
    for (const row of rows) {
      this.#counts[row.status] += row.n;
      if (row.phase === "parked") this.#parkedBytes += row.bytes;
      else if (row.phase !== "final") this.#liveBytes += row.bytes;
    }
    // The sequence counts what was inserted, whatever became of it: so a row that is missing shows.
    this.#accepted =
      this.#one<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'operation_queue'")?.seq ?? 0;
    this.#swept = this.#one<{ n: number }>("SELECT n FROM swept_operations")?.n ?? 0;
  }

  // ── counts ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Operations and bytes, pending or in work, that count towards the queue's bounds. */
  get held(): { operations: number; bytes: number } {
    return { operations: this.#counts.PENDING + this.#counts.PROCESSING, bytes: this.#liveBytes };
  }

  get deadLetters(): number {
    return this.#counts.FAILED;
  }

  /** Operations that make the shard busy: what is held, and dead letters. */
  get live(): number {
    return this.held.operations + this.#counts.FAILED;
  }

  usage(): ShardUsage {
    const counts = this.#counts;
    return {
      pending: counts.PENDING,
      processing: counts.PROCESSING,
      failed: counts.FAILED,
      completed: counts.COMPLETED,
      cancelled: counts.CANCELLED,
      superseded: counts.SUPERSEDED,
      accepted: this.#accepted,
      swept: this.#swept,
      bytes: this.#liveBytes + this.#parkedBytes,
      oldestAt:
        this.#one<{ at: number }>(
          "SELECT created_at AS at FROM operation_queue WHERE status = 'PENDING' ORDER BY id LIMIT 1",
        )?.at ?? null,
    };
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

  byOperationId(operationId: string): OperationRow | null {
    return this.#one<OperationRow>("SELECT * FROM operation_queue WHERE operation_id = ?", operationId);
  }

  /** Pending, claimed and parked operations of a key, oldest first. */
  liveOf(key: string): OperationRow[] {
    return this.#all<OperationRow>("SELECT * FROM operation_queue WHERE key = ? AND phase <> 'final' ORDER BY id", key);
  }

  /** Whether a newer operation of its key has come. */
  hasSuccessor({ key, id }: OperationRow): boolean {
    return this.liveOf(key).some((other) => other.id > id);
  }

  /** Distinct keys of live operations, at most `limit`. */
  liveKeys(limit: number): string[] {
    return this.#all<{ key: string }>(
      "SELECT DISTINCT key FROM operation_queue INDEXED BY idx_operation_queue_live_key WHERE phase <> 'final' LIMIT ?",
      limit,
    ).map((row) => row.key);
  }

  /** The newest live operation of each key from `from` to `to`, in UTF-8 order, as an iterator: not to be held over an await. */
  newestIn(from: string, to: string, limit: number): Iterable<PendingRow> {
    // A bare column beside MAX has the value of the row with the maximum.
    return this.#sql.exec(
      `SELECT operation_type, operation_id, payload, status, created_at, key, fence_at, first_call_at, size, etag, checksums,
         key_id, MAX(id) FROM operation_queue INDEXED BY idx_operation_queue_live_key
       WHERE phase <> 'final' AND key >= ? AND key <= ? GROUP BY key ORDER BY key LIMIT ?`,
      from,
      to,
      limit,
    ) as Iterable<unknown> as Iterable<PendingRow>;
  }

  hasReady(): boolean {
    return this.#one("SELECT 1 FROM operation_queue WHERE phase = 'ready' ORDER BY score LIMIT 1") !== null;
  }

  nextDue(): number | null {
    return (
      this.#one<{ at: number }>(
        "SELECT scheduled_at AS at FROM operation_queue WHERE phase = 'waiting' ORDER BY scheduled_at LIMIT 1",
      )?.at ?? null
    );
  }

  list(filter: OperationFilter): OperationRow[] {
    const where = ["TRUE"];
    const values: (string | number)[] = [];
    const add = (clause: string, ...bound: (string | number)[]) => {
      where.push(clause);
      values.push(...bound);
    };
    if (filter.status !== undefined) add("status = ?", filter.status);
    if (filter.userId !== undefined) add("user_id = ?", filter.userId);
    if (filter.key !== undefined) add("key = ?", filter.key);
    if (filter.before !== undefined) {
      const { createdAt, operationId } = filter.before;
      add("(created_at < ? OR (created_at = ? AND operation_id < ?))", createdAt, createdAt, operationId);
    }
    return this.#all<OperationRow>(
      `SELECT * FROM operation_queue WHERE ${where.join(" AND ")} ORDER BY id DESC LIMIT ?`,
      ...values,
      filter.limit,
    ).sort((a, b) => b.created_at - a.created_at || (a.operation_id < b.operation_id ? 1 : -1));
  }

  /** The newest operation's id; 0: there was none. */
  lastId(): number {
    return this.#one<{ id: number }>("SELECT id FROM operation_queue ORDER BY id DESC LIMIT 1")?.id ?? 0;
  }

  /** Operations from after `after` to `lastId` that were not final at `at`, oldest first. */
  liveAt(at: number, after: number, lastId: number, limit: number): OperationRow[] {
    return this.#all<OperationRow>(
      `SELECT * FROM operation_queue WHERE id > ? AND id <= ? AND (phase <> 'final' OR completed_at >= ?)
       ORDER BY id LIMIT ?`,
      after,
      lastId,
      at,
      limit,
    );
  }

  parkedAfter(id: number, limit: number): OperationRow[] {
    return this.#all<OperationRow>(
      "SELECT * FROM operation_queue WHERE status = 'FAILED' AND id > ? ORDER BY id LIMIT ?",
      id,
      limit,
    );
  }

  // ── entering ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** An operation takes its place in the order: its id is the sequence. Returns the id. */
  insert(op: NewOperation): number {
    const row = this.#one<{ id: number }>(
      `INSERT INTO operation_queue (operation_type, operation_id, payload, priority, status, max_retries, user_id, file_id,
         created_at, updated_at, scheduled_at, key, phase, score, fence_at, first_call_at, needs_epoch, size, held_bytes,
         etag, checksums, fingerprint, key_id, upload_id)
       VALUES (?, ?, ?, ?, 'PENDING', ?, ?, ?, ?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
      op.type,
      op.operationId,
      op.payload,
      op.priority,
      op.maxRetries,
      op.userId,
      op.fileId,
      op.now,
      op.now,
      op.now,
      op.key,
      op.score,
      op.fenceAt,
      op.firstCallAt,
      op.needsEpoch,
      op.size,
      op.heldBytes,
      op.etag,
      op.checksums,
      op.fingerprint,
      op.keyId,
      op.uploadId,
    );
    this.#counts.PENDING += 1;
    this.#accepted += 1;
    this.#liveBytes += op.heldBytes;
    return row?.id ?? 0;
  }

  // ── the drain ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Waiting operations whose time has come become ready, at most `limit`. */
  promote(now: number, limit: number, priorityStep: number): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'ready', score = scheduled_at + priority * ?
       WHERE id IN (SELECT id FROM operation_queue WHERE phase = 'waiting' AND scheduled_at <= ? ORDER BY scheduled_at LIMIT ?)`,
      priorityStep,
      now,
      limit,
    );
  }

  /** The next ready operations in order of score. */
  ready(limit: number): OperationRow[] {
    return this.#all<OperationRow>("SELECT * FROM operation_queue WHERE phase = 'ready' ORDER BY score LIMIT ?", limit);
  }

  claim(row: OperationRow, lease: string, now: number, carriesBytes: boolean): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'claimed', status = 'PROCESSING', lease_token = ?, updated_at = ?,
         first_call_at = COALESCE(first_call_at, ?) WHERE id = ?`,
      lease,
      now,
      carriesBytes ? now : null,
      row.id,
    );
    this.#move("PENDING", "PROCESSING");
  }

  /** The claim of `row`, which was read before it was claimed, is undone. */
  unclaim(row: OperationRow): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'ready', status = 'PENDING', lease_token = NULL, first_call_at = ? WHERE id = ?`,
      row.first_call_at,
      row.id,
    );
    this.#move("PROCESSING", "PENDING");
  }

  /** From now on a call may have made the object that the operation stands for. */
  carriedFrom(id: number, now: number): void {
    this.#sql.exec("UPDATE operation_queue SET first_call_at = COALESCE(first_call_at, ?) WHERE id = ?", now, id);
  }

  /** Whether the claim still stands; the result of a call is stored only then. */
  isClaimed(id: number, lease: string): boolean {
    return (
      this.#one("SELECT 1 FROM operation_queue WHERE id = ? AND lease_token = ? AND phase = 'claimed'", id, lease) !==
      null
    );
  }

  /** The claims of a dead incarnation: every lease that is still on a row at construction. */
  claimed(): OperationRow[] {
    return this.#all<OperationRow>("SELECT * FROM operation_queue WHERE status = 'PROCESSING'");
  }

  /** Back among the pending, to be tried at `scheduledAt`. */
  release(row: OperationRow, scheduledAt: number, now: number): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'waiting', status = 'PENDING', lease_token = NULL, scheduled_at = ?, updated_at = ?
       WHERE id = ?`,
      scheduledAt,
      now,
      row.id,
    );
    if (row.status === "PROCESSING") this.#move("PROCESSING", "PENDING");
  }

  /** When a pending operation is to be looked at next. */
  schedule(id: number, scheduledAt: number): void {
    this.#sql.exec(
      "UPDATE operation_queue SET phase = 'waiting', scheduled_at = ? WHERE id = ? AND status = 'PENDING'",
      scheduledAt,
      id,
    );
  }

  recordFailure(id: number, failure: Failure): void {
    this.#sql.exec(
      `UPDATE operation_queue SET failure_count = failure_count + 1, retry_count = ?, uncharged_at = ?, not_before = ?,
         error_message = ? WHERE id = ?`,
      failure.retryCount,
      failure.unchargedAt,
      failure.notBefore,
      failure.error,
      id,
    );
  }

  /** Why an operation waits, and until when, without any failure of its own. */
  note(id: number, error: string, notBefore: number): void {
    this.#sql.exec("UPDATE operation_queue SET error_message = ?, not_before = ? WHERE id = ?", error, notBefore, id);
  }

  /** A failure is charged to the operation after all: others have succeeded since. */
  charge(id: number): void {
    this.#sql.exec("UPDATE operation_queue SET retry_count = retry_count + 1, uncharged_at = NULL WHERE id = ?", id);
  }

  // ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The final state of an operation that is live or parked. */
  finish(row: OperationRow, status: "COMPLETED" | "CANCELLED" | "SUPERSEDED", now: number): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'final', status = ?, lease_token = NULL, updated_at = ?, completed_at = ?,
         error_message = CASE WHEN ? = 'COMPLETED' THEN NULL ELSE error_message END
       WHERE id = ?`,
      status,
      now,
      now,
      status,
      row.id,
    );
    if (row.phase === "parked") this.#parkedBytes -= row.held_bytes;
    else this.#liveBytes -= row.held_bytes;
    this.#move(row.status, status);
  }

  /** A dead letter: readable and redrivable, never swept. */
  park(row: OperationRow, error: string, now: number): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'parked', status = 'FAILED', lease_token = NULL, error_message = ?, updated_at = ?
       WHERE id = ?`,
      error,
      now,
      row.id,
    );
    this.#liveBytes -= row.held_bytes;
    this.#parkedBytes += row.held_bytes;
    this.#move(row.status, "FAILED");
  }

  /** A dead letter starts anew. `fenceAt` null keeps its place in time. */
  redrive(row: OperationRow, fenceAt: number | null, score: number, now: number): void {
    this.#sql.exec(
      `UPDATE operation_queue SET phase = 'ready', status = 'PENDING', retry_count = 0, failure_count = 0, uncharged_at = NULL,
         not_before = 0, fence_at = COALESCE(?, fence_at), score = ?, scheduled_at = ?, updated_at = ? WHERE id = ?`,
      fenceAt,
      score,
      now,
      now,
      row.id,
    );
    this.#parkedBytes -= row.held_bytes;
    this.#liveBytes += row.held_bytes;
    this.#move("FAILED", "PENDING");
  }

  /** Try a waiting operation at once. */
  hurry(id: number, now: number): void {
    this.#sql.exec(
      "UPDATE operation_queue SET not_before = 0, scheduled_at = ? WHERE id = ? AND phase = 'waiting'",
      now,
      id,
    );
  }

  oldestFinal(): number | null {
    return (
      this.#one<{ at: number }>(
        "SELECT completed_at AS at FROM operation_queue WHERE phase = 'final' ORDER BY completed_at LIMIT 1",
      )?.at ?? null
    );
  }

  /** Forgets final operations that ended before `before`, at most `limit`. Returns how many. */
  sweepFinal(before: number, limit: number): number {
    const gone = this.#all<{ status: OperationStatus }>(
      `DELETE FROM operation_queue WHERE id IN
         (SELECT id FROM operation_queue WHERE phase = 'final' AND completed_at < ? ORDER BY completed_at LIMIT ?)
       RETURNING status`,
      before,
      limit,
    );
    if (gone.length === 0) return 0;
    for (const { status } of gone) this.#counts[status] -= 1;
    this.#swept += gone.length;
    this.#sql.exec("UPDATE swept_operations SET n = n + ?", gone.length);
    return gone.length;
  }

  #move(from: keyof Counts, to: keyof Counts): void {
    this.#counts[from] -= 1;
    this.#counts[to] += 1;
  }

  #all<Row>(query: string, ...bindings: SqlStorageValue[]): Row[] {
    return this.#sql.exec(query, ...bindings).toArray() as Row[];
  }

  #one<Row>(query: string, ...bindings: SqlStorageValue[]): Row | null {
    return (this.#all<Row>(query, ...bindings)[0] ?? null) as Row | null;
  }
}
