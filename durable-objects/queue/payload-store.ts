/** Rows of a payload: local SQLite would take more, production takes 2 MB. */
export const CHUNK_BYTES = 1024 * 1024;

/** Rows that one turn frees. */
const FREE_SLICE = 16;

/** All SQL on payloads and on those still being received. */
export class PayloadStore {
  readonly #sql: SqlStorage;
  /** The rows of `freeing`. */
  readonly #freeing: Set<string>;
  /** The rows of `receipts` that this incarnation has opened. */
  readonly #receiving = new Set<string>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const rows = sql.exec<{ id: string }>("SELECT operation_id AS id FROM freeing").toArray();
    this.#freeing = new Set(rows.map(({ id }) => id));
  }

  isReceiving(operationId: string): boolean {
    return this.#receiving.has(operationId);
  }

  openReceipt(operationId: string, key: string): void {
    this.clear(operationId);
    this.#receiving.add(operationId);
    this.#sql.exec("INSERT INTO receipts (operation_id, key) VALUES (?, ?)", operationId, key);
  }

  /** The payload is whole (its operation takes over the chunks) or given up (free them). */
  closeReceipt(operationId: string): void {
    this.#receiving.delete(operationId);
    this.#sql.exec("DELETE FROM receipts WHERE operation_id = ?", operationId);
  }

  /**
   * Before a payload is stored: what a broken try of the same operation left behind goes at once. Left to `freeSlice`
   * it would take the new chunks with it.
   */
  clear(operationId: string): void {
    if (!this.#freeing.delete(operationId)) return;
    this.#sql.exec("DELETE FROM payload_chunks WHERE operation_id = ?", operationId);
    this.#sql.exec("DELETE FROM freeing WHERE operation_id = ?", operationId);
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
    if (size <= CHUNK_BYTES) {
      this.#sql.exec("DELETE FROM payload_chunks WHERE operation_id = ?", operationId);
    } else if (!this.#freeing.has(operationId)) {
      this.#freeing.add(operationId);
      this.#sql.exec("INSERT INTO freeing (operation_id) VALUES (?)", operationId);
    }
  }

  /** Whether `freeSlice` has anything to do. */
  hasFreeable(isPinned: (operationId: string) => boolean): boolean {
    return this.#nextToFree(isPinned) !== undefined;
  }

  /** Frees a few rows of payloads that are not pinned: of one large one, or of several small ones. */
  freeSlice(isPinned: (operationId: string) => boolean): void {
    for (let rows = FREE_SLICE; rows > 0; ) {
      const id = this.#nextToFree(isPinned);
      if (id === undefined) return;
      const left = this.#sql
        .exec<{ n: number }>("SELECT n FROM payload_chunks WHERE operation_id = ? ORDER BY n LIMIT ?", id, rows + 1)
        .toArray();
      const last = left[rows - 1]?.n ?? Number.MAX_SAFE_INTEGER;
      this.#sql.exec("DELETE FROM payload_chunks WHERE operation_id = ? AND n <= ?", id, last);
      if (left.length > rows) return;
      rows -= Math.max(1, left.length);
      this.#freeing.delete(id);
      this.#sql.exec("DELETE FROM freeing WHERE operation_id = ?", id);
    }
  }

  #nextToFree(isPinned: (operationId: string) => boolean): string | undefined {
    for (const id of this.#freeing) if (!isPinned(id)) return id;
    return undefined;
  }
}
