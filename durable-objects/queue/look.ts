/** What R2 holds of a claimed operation's key, and whose that is. */
import { classifyObject, fingerprintOf } from "../../src/bucket/ledger";
import type { Claim } from "./claimed";
import type { OperationRow } from "./operation-row";
import { headObject } from "./r2-calls";
import { clockOffset, type Shard } from "./shard";

/** R2 could not be looked at. That is no failure of the write: the operation waits, and is charged nothing. */
export class LookError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : "head failed", { cause });
  }
}

/** Whose is what R2 holds, for this operation? */
export function classify(shard: Shard, row: OperationRow, seen: R2Object | null) {
  return classifyObject(
    { fenceAt: row.fence_at, firstCallAt: row.first_call_at, fingerprint: row.fingerprint },
    seen === null ? null : { version: seen.version, uploaded: seen.uploaded, fingerprint: fingerprintOf(seen) },
    shard.calls.ledger(row.key, clockOffset(shard)),
  );
}

/** Throws `LookError`. */
export function look(shard: Shard, claim: Claim): Promise<R2Object | null> {
  return headObject(shard, claim.row.key, claim.row.failure_count > 0).catch((error: unknown) => {
    throw new LookError(error);
  });
}
