/** One list, newest first, out of the lists of all shards. Pure. */
import { FailoverError } from "../shared/errors";
import type { OperationRecord } from "../shared/records";

/** Where a page ended: the next one begins with the operation after it. */
export interface Position {
  readonly createdAt: number;
  readonly operationId: string;
}

export interface Page {
  readonly operations: OperationRecord[];
  /** Null: this was the last page. */
  readonly cursor: string | null;
}

/** Merges lists that each hold up to `limit + 1` operations, so that a further page is known of. */
export function mergePage(lists: readonly (readonly OperationRecord[])[], limit: number): Page {
  const merged = lists.flat().sort(newestFirst);
  const operations = merged.slice(0, limit);
  const last = operations.at(-1);
  const cursor =
    last === undefined || merged.length <= limit
      ? null
      : encodeCursor({ createdAt: Date.parse(last.created_at), operationId: last.operation_id });
  return { operations, cursor };
}

function newestFirst(one: OperationRecord, other: OperationRecord): number {
  const byTime = Date.parse(other.created_at) - Date.parse(one.created_at);
  if (byTime !== 0) return byTime;
  return one.operation_id < other.operation_id ? 1 : -1;
}

/** Opaque to clients. An operation id is ASCII, so that btoa takes it. */
export function encodeCursor(position: Position): string {
  return btoa(JSON.stringify([position.createdAt, position.operationId]))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}

/** Throws `INVALID_REQUEST` for anything that `encodeCursor` did not make. */
export function decodeCursor(cursor: string): Position {
  try {
    const value: unknown = JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")));
    if (Array.isArray(value)) {
      const [createdAt, operationId]: unknown[] = value;
      if (Number.isSafeInteger(createdAt) && typeof operationId === "string") {
        return { createdAt: Number(createdAt), operationId };
      }
    }
  } catch {
    // Not ours: said below.
  }
  throw new FailoverError("INVALID_REQUEST", "cursor must be the cursor of an earlier answer.");
}
