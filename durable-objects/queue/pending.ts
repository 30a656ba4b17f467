/** What the queue holds for keys, as readers see it. */
import { lastKeyBelow, laterKey } from "../../src/shared/key-order";
import type { PendingInReply, PendingOperation, PendingRange } from "../../src/shared/protocol";
import { openMetadata, type SealedRow } from "./metadata";
import { type OperationRow, type StoredRow, storedOf } from "./operation-row";
import { clockOffset, type Shard } from "./shard";

const MAX_ITEMS = 1_000;
/** An answer ends early when its metadata comes to this: a call carries 32 MiB. */
const MAX_METADATA_CHARS = 8 * 1024 * 1024;

/** The columns that readers are told of. */
export type PendingRow = StoredRow & SealedRow & Pick<OperationRow, "fence_at" | "first_call_at">;

/** A live operation without its payload. Throws `MissingKeyError`. */
export async function pendingState(shard: Shard, row: PendingRow): Promise<Omit<PendingOperation, "inline">> {
  return {
    stored: storedOf(row),
    kind: row.operation_type === "DELETE" ? "delete" : "put",
    metadata: await openMetadata(shard.cipher, row),
    fenceAt: row.fence_at,
    firstCallAt: row.first_call_at,
  };
}

/** The logical state of the keys in a range. Throws `MissingKeyError`. */
export async function pendingIn(shard: Shard, { prefix, after, limit }: PendingRange): Promise<PendingInReply> {
  const most = Math.min(limit, MAX_ITEMS);
  const rows: PendingRow[] = [];
  let isTruncated = false;
  let metadataChars = 0;
  // What comes right after a key is that key and a NUL.
  for (const row of shard.store.newestIn(laterKey(prefix, `${after}\0`), lastKeyBelow(prefix), most + 1)) {
    isTruncated = rows.length === most || metadataChars > MAX_METADATA_CHARS;
    if (isTruncated) break;
    rows.push(row);
    metadataChars += row.payload.length;
  }
  const items = await Promise.all(rows.map((row) => pendingState(shard, row)));
  return { shard: shard.link.view, items, isTruncated, clockOffsetMs: clockOffset(shard) };
}
