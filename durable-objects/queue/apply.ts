/**
 * Carries one claimed operation to R2.
 *
 * A put goes with a fence: R2 refuses it when anything was uploaded after the operation was accepted. Refused, or with
 * an earlier call of its own that may have landed, it looks at what R2 holds and asks the ledger whose that is.
 */
import { fenceDate } from "../../src/bucket/ledger";
import { putOptions } from "../../src/bucket/put-options";
import type { PutMetadata } from "../../src/shared/protocol";
import { applyMultipart } from "./apply-multipart";
import type { Applied, Claim } from "./claimed";
import { classify, look } from "./look";
import { openMetadata } from "./metadata";
import type { OperationRow } from "./operation-row";
import { payloadValue } from "./payload-reader";
import { callR2, writeDeadlineMs } from "./r2-calls";
import { clockOffset, type Shard } from "./shard";

/** Others may write between a look and a write; after so many rounds the operation steps back. */
const MAX_ROUNDS = 4;
const CONTENDED_MS = 1_000;

/** Throws what R2 or the payload throws, and `LookError`. */
export async function apply(shard: Shard, claim: Claim): Promise<Applied> {
  switch (claim.row.operation_type) {
    case "UPLOAD":
      return applyPut(shard, claim);
    case "DELETE":
      return applyDelete(shard, claim);
    case "MULTIPART_UPLOAD":
      return applyMultipart(shard, claim);
  }
}

async function applyPut(shard: Shard, claim: Claim): Promise<Applied> {
  const { row } = claim;
  const metadata = await shard.steps.at("apply.open", openMetadata(shard.cipher, row));
  let seen: R2Object | null | undefined;
  if (claim.looksFirst) seen = await shard.steps.at("apply.head", look(shard, claim));

  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const next = seen === undefined ? ({ write: fence(shard, row) } as const) : decide(shard, claim, seen);
    if ("end" in next) return next.end;
    const written = await put(shard, row, metadata, next.write);
    if (written === null) {
      seen = await shard.steps.at("apply.head", look(shard, claim));
      continue;
    }
    checkEtag(row, metadata, written);
    if (!claim.verifies) return { kind: "completed", version: written.version };
    // Should something else have landed over it, it is written again: this version is known as ours.
    shard.calls.rememberApplied(row.key, written.version, Date.now());
    seen = await shard.steps.at("apply.verify", look(shard, claim));
    if (seen?.version === written.version) return { kind: "completed", version: written.version };
  }
  return { kind: "postponed", until: Date.now() + CONTENDED_MS };
}

/** What to do in the face of what R2 holds: end, or write under a condition. */
function decide(
  shard: Shard,
  claim: Claim,
  seen: R2Object | null,
): { readonly end: Applied } | { readonly write: R2Conditional } {
  const { row } = claim;
  switch (classify(shard, row, seen)) {
    case "ours":
      return { end: { kind: "completed", version: seen?.version ?? null } };
    case "newer":
      return { end: { kind: "superseded" } };
    case "absent":
    case "older":
      if (claim.ownCallUntil > Date.now()) return { end: { kind: "postponed", until: claim.ownCallUntil } };
      return { write: fence(shard, row) };
    case "ours_earlier":
    case "late_landing":
      if (claim.ownCallUntil > Date.now()) return { end: { kind: "postponed", until: claim.ownCallUntil } };
      return { write: seen === null ? fence(shard, row) : { etagMatches: seen.etag } };
  }
}

/**
 * R2 has no condition on deletes: a delete is claimed only when nobody writes past the queue any more, so nothing can
 * come between the look and the deed.
 */
async function applyDelete(shard: Shard, claim: Claim): Promise<Applied> {
  const { row } = claim;
  const seen = await shard.steps.at("apply.head", look(shard, claim));
  switch (classify(shard, row, seen)) {
    case "absent":
      return { kind: "completed", version: null };
    case "newer":
      return { kind: "superseded" };
    case "ours":
    case "ours_earlier":
    case "late_landing":
    case "older": {
      const deadlineMs = writeDeadlineMs(shard, 0);
      const isRepeated = row.failure_count > 0;
      const call = callR2(shard, "write", "delete", deadlineMs, isRepeated, () => shard.bucket.delete(row.key));
      await shard.steps.at("apply.delete", call);
      return { kind: "completed", version: null };
    }
  }
}

function fence(shard: Shard, row: OperationRow): R2Conditional {
  return { uploadedBefore: fenceDate(row.fence_at, clockOffset(shard)) };
}

async function put(
  shard: Shard,
  row: OperationRow,
  metadata: PutMetadata | null,
  onlyIf: R2Conditional,
): Promise<R2Object | null> {
  const options = metadata === null ? {} : putOptions(metadata);
  // R2 confirms the bytes before the payload is let go: by the caller's checksum if it gave one, else by the MD5.
  const checksum = metadata?.checksum ? {} : { md5: row.etag };
  // Before the call, so that its time and its errors are not put down to R2.
  const payload = await shard.steps.at(
    "apply.read",
    payloadValue(shard, { id: row.operation_id, keyId: row.key_id, size: row.size }),
  );
  const deadlineMs = writeDeadlineMs(shard, row.size);
  const call = callR2(shard, "write", "put", deadlineMs, row.failure_count > 0, () =>
    shard.bucket.put(row.key, payload.value, { ...options, ...checksum, onlyIf }),
  );
  try {
    return await shard.steps.at("apply.put", call);
  } catch (error) {
    throw payload.problem() ?? error;
  } finally {
    payload.stop();
  }
}

function checkEtag(row: OperationRow, metadata: PutMetadata | null, written: R2Object): void {
  // Under a customer key the etag is no MD5; the checksum in the put has spoken.
  if (metadata?.ssecKey) return;
  if (written.etag !== row.etag) throw new Error(`put: R2 stored other bytes than were queued for ${row.operation_id}`);
}
