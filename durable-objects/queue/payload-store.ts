/** Rows of a payload: local SQLite would take more, production takes 2 MB. */
export const CHUNK_BYTES = 1024 * 1024;

/** Rows that one turn frees. */
const FREE_SLICE = 16;

/** All SQL on payloads and on those still being received. */
export class PayloadStore {
  readonly #sql: SqlStorage;
  #receiving: { operations: number; bytes: number };

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const row = sql
      .exec<{ operations: number; bytes: number }>(
        "SELECT COUNT(*) AS operations, COALESCE(SUM(size), 0) AS bytes FROM receipts",
      )
      .one();
    this.#receiving = { operations: row.operations, bytes: row.bytes };
  }

  /** What is being received; it counts towards the bounds. */
  get receiving(): { operations: number; bytes: number } {
    return this.#receiving;
  }

  isReceiving(operationId: string): boolean {
    return this.#sql.exec("SELECT 1 FROM receipts WHERE operation_id = ?", operationId).toArray().length > 0;
  }

  openReceipt(operationId: string, key: string): void {
    this.#sql.exec("INSERT INTO receipts (operation_id, key, size) VALUES (?, ?, 0)", operationId, key);
    this.#receiving.operations += 1;
  }

  growReceipt(operationId: string, bytes: number): void {
    this.#sql.exec("UPDATE receipts SET size = size + ? WHERE operation_id = ?", bytes, operationId);
    this.#receiving.bytes += bytes;
  }

  /** The payload is whole (its operation takes over the chunks) or given up (free them). */
  closeReceipt(operationId: string): void {
    for (const { size } of this.#sql
      .exec<{ size: number }>("DELETE FROM receipts WHERE operation_id = ? RETURNING size", operationId)
      .toArray()) {
      this.#receiving.operations -= 1;
      this.#receiving.bytes -= size;
    }
  }

  /** Receipts of a dead incarnation: their callers were never answered. */
  abandonReceipts(): void {
    for (const { id } of this.#sql.exec<{ id: string }>("SELECT operation_id AS id FROM receipts").toArray()) {
      this.closeReceipt(id);
      this.free(id, Number.POSITIVE_INFINITY);
    }
  }

  write(operationId: string, n: number, data: Uint8Array): void {
    this.#sql.exec("INSERT INTO payload_chunks (operation_id, n, data) VALUES (?, ?, ?)", operationId, n, data);
  }

  read(operationId: string, n: number): Uint8Array | null {
    const row = this.#sql
      .exec<{ data: ArrayBuffer }>("SELECT data FROM payload_chunks WHERE operation_id = ? AND n = ?", operationId, n)
      .toArray()[0];
    return row === undefined ? null : new Uint8Array(row.data);
  }

  /** Lets a payload go: at once when it is small, else in slices by `freeSlice`. */
  free(operationId: string, size: number): void {
    if (size <= CHUNK_BYTES) this.#sql.exec("DELETE FROM payload_chunks WHERE operation_id = ?", operationId);
    else this.#sql.exec("INSERT OR IGNORE INTO freeing (operation_id) VALUES (?)", operationId);
  }

  /** Whether `freeSlice` has anything to do. */
  hasFreeable(isPinned: (operationId: string) => boolean): boolean {
    return this.#nextToFree(isPinned) !== undefined;
  }

  /** Frees a few rows of one payload that is not pinned. */
  freeSlice(isPinned: (operationId: string) => boolean): void {
    const id = this.#nextToFree(isPinned);
    if (id === undefined) return;
    const left = this.#sql
      .exec<{ n: number }>("SELECT n FROM payload_chunks WHERE operation_id = ? ORDER BY n LIMIT ?", id, FREE_SLICE + 1)
      .toArray();
    const last = left[FREE_SLICE - 1]?.n ?? Number.MAX_SAFE_INTEGER;
    this.#sql.exec("DELETE FROM payload_chunks WHERE operation_id = ? AND n <= ?", id, last);
    if (left.length <= FREE_SLICE) this.#sql.exec("DELETE FROM freeing WHERE operation_id = ?", id);
  }

  #nextToFree(isPinned: (operationId: string) => boolean): string | undefined {
    return this.#sql
      .exec<{ id: string }>("SELECT operation_id AS id FROM freeing LIMIT 64")
      .toArray()
      .find(({ id }) => !isPinned(id))?.id;
  }
}
