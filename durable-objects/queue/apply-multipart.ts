/**
 * Carries a queued completion to R2 as a multipart upload: an upload in R2, the parts that are here, the completion.
 *
 * Each part that R2 has taken is a row, so that whoever comes next goes on from there. R2 has no condition for the
 * completion: it waits, as a delete does, until nobody writes past the queue, and looks first. An upload can be completed
 * only once, so an earlier call of its own is no danger: either it has landed, and is found, or it never will.
 */
import { multipartOptions } from "../../src/bucket/put-options";
import { r2Code } from "../../src/bucket/r2-errors";
import { FENCE_MARGIN_MS } from "../../src/shared/fence";
import type { PutMetadata } from "../../src/shared/protocol";
import type { Applied, Claim } from "./claimed";
import { classify, look } from "./look";
import { openMetadata } from "./metadata";
import { PayloadError } from "./payload-cipher";
import { payloadValue } from "./payload-reader";
import { type Piece, pieceOf } from "./pieces";
import { callR2, unfencedFrom, writeDeadlineMs } from "./r2-calls";
import type { Shard } from "./shard";
import type { PartRow, UploadRow } from "./upload-store";

/** After so long the rest of the parts is left to another claim: an alarm may run for 15 min. */
const SLICE_MS = 60_000;
const UNFINISHED = "Not all parts are in R2 yet.";
const UNFENCED = "Others may yet write past the queue.";
const NO_SUCH_UPLOAD = 10024;
const INVALID_PART = 10025;

/** R2 has lost what it was sent; it is sent anew. A failure that R2 has answered. */
export class SendAgainError extends Error {}

export async function applyMultipart(shard: Shard, claim: Claim): Promise<Applied> {
  const { row } = claim;
  const upload = row.upload_id === null ? null : shard.uploads.get(row.upload_id, row.key);
  if (upload === null) throw new PayloadError(row.operation_id);
  const metadata = await shard.steps.at("apply.open", openMetadata(shard.cipher, row));
  const early = await verdict(shard, claim);
  if (early !== null) return early;
  try {
    const uploadId = upload.r2_upload_id ?? (await begin(shard, claim, upload, metadata));
    const sent = await sendParts(shard, claim, uploadId, metadata);
    if (sent.kind === "postponed") return sent;
    const from = unfencedFrom(shard, row, Date.now());
    if (from > Date.now()) return { kind: "postponed", until: from, why: UNFENCED };
    if (sent.count > 0) {
      const late = await verdict(shard, claim);
      if (late !== null) return late;
    }
    return await finish(shard, claim, uploadId, metadata);
  } catch (error) {
    return await lost(shard, claim, error);
  }
}

async function verdict(shard: Shard, claim: Claim): Promise<Applied | null> {
  keepClaim(shard, claim, shard.link.config.service.read_timeout_ms);
  return verdictOn(shard, claim, await shard.steps.at("apply.head", look(shard, claim)));
}

/** The end of the operation in the face of what R2 holds; null: it is to be completed. */
function verdictOn(shard: Shard, { row }: Claim, seen: R2Object | null): Applied | null {
  switch (classify(shard, row, seen)) {
    case "ours":
      return { kind: "completed", version: seen?.version ?? null };
    case "newer":
      return { kind: "superseded" };
    case "absent":
    case "older":
    case "ours_earlier":
    case "late_landing":
      return null;
  }
}

async function begin(shard: Shard, claim: Claim, upload: UploadRow, metadata: PutMetadata | null): Promise<string> {
  const { row } = claim;
  const options = metadata === null ? {} : multipartOptions(metadata);
  const create = () => shard.bucket.createMultipartUpload(row.key, options);
  const deadlineMs = writeDeadlineMs(shard, 0);
  keepClaim(shard, claim, deadlineMs);
  const call = callR2(shard, "write", "createMultipartUpload", deadlineMs, row.failure_count > 0, create);
  const { uploadId } = await shard.steps.at("apply.create", call);
  shard.uploads.startInR2(upload.upload_id, uploadId);
  return uploadId;
}

type Sent = { readonly kind: "sent"; readonly count: number } | Extract<Applied, { kind: "postponed" }>;

/** Sends the parts that are here and not yet in R2, one after the other. */
async function sendParts(shard: Shard, claim: Claim, uploadId: string, metadata: PutMetadata | null): Promise<Sent> {
  const stopAt = Date.now() + SLICE_MS;
  let count = 0;
  for (const part of partsOf(shard, claim)) {
    const piece = pieceOf(part);
    if (piece === null || part.r2_etag !== null) continue;
    // Where a newer write of the key waits, this one gives way before it costs R2 more.
    if (Date.now() >= stopAt || shard.store.hasSuccessor(claim.row))
      return { kind: "postponed", until: Date.now(), why: UNFINISHED };
    const etag = await sendPart(shard, claim, uploadId, part, piece, metadata);
    shard.uploads.sent(part, etag);
    count += 1;
  }
  return { kind: "sent", count };
}

async function sendPart(
  shard: Shard,
  claim: Claim,
  uploadId: string,
  part: PartRow,
  piece: Piece,
  metadata: PutMetadata | null,
): Promise<string> {
  const { row } = claim;
  const options = metadata?.ssecKey ? { ssecKey: metadata.ssecKey } : {};
  const deadlineMs = writeDeadlineMs(shard, piece.size);
  keepClaim(shard, claim, deadlineMs);
  const payload = await shard.steps.at("apply.read", payloadValue(shard, piece));
  const r2 = shard.bucket.resumeMultipartUpload(row.key, uploadId);
  const call = callR2(shard, "write", "uploadPart", deadlineMs, row.failure_count > 0, () =>
    r2.uploadPart(part.part_number, payload.value, options),
  );
  try {
    return (await shard.steps.at("apply.part", call)).etag;
  } catch (error) {
    throw payload.problem() ?? error;
  } finally {
    payload.stop();
  }
}

async function finish(shard: Shard, claim: Claim, uploadId: string, metadata: PutMetadata | null): Promise<Applied> {
  const { row } = claim;
  // Nothing awaits between this look and the call.
  if (shard.store.hasSuccessor(row)) return { kind: "postponed", until: Date.now(), why: UNFINISHED };
  const deadlineMs = writeDeadlineMs(shard, 0);
  keepClaim(shard, claim, deadlineMs);
  shard.store.carriedFrom(row.id, Date.now());
  const parts = partsOf(shard, claim).map(({ part_number, r2_etag }) => ({
    partNumber: part_number,
    etag: r2_etag ?? "",
  }));
  const r2 = shard.bucket.resumeMultipartUpload(row.key, uploadId);
  const call = callR2(shard, "write", "complete", deadlineMs, row.failure_count > 0, () => r2.complete(parts));
  const written = await shard.steps.at("apply.complete", call);
  // Under a customer key the etag is made of no MD5s.
  if (!metadata?.ssecKey && written.etag !== row.etag) {
    shard.calls.rememberApplied(row.key, written.version, Date.now());
    throw new SendAgainError("completeMultipartUpload: R2 stored other bytes than were queued");
  }
  if (!claim.verifies) return { kind: "completed", version: written.version };
  shard.calls.rememberApplied(row.key, written.version, Date.now());
  const seen = await shard.steps.at("apply.verify", look(shard, claim));
  if (seen?.version === written.version) return { kind: "completed", version: written.version };
  const end = verdictOn(shard, claim, seen);
  if (end !== null) return end;
  throw new SendAgainError("completeMultipartUpload: an earlier write has landed over the object");
}

/**
 * R2 says that the upload or a part is not there. It may be because the upload was completed, and the reply lost; else
 * what is here is sent anew, and where that is not all, the error stands.
 */
async function lost(shard: Shard, claim: Claim, error: unknown): Promise<Applied> {
  const { row } = claim;
  const code = r2Code(error);
  if (row.upload_id === null) throw error;
  if (code === INVALID_PART && partsOf(shard, claim).some((part) => part.payload_id !== null)) {
    shard.uploads.unsend(row.upload_id);
    throw new SendAgainError(messageOf(error));
  }
  if (code !== NO_SUCH_UPLOAD && !(error instanceof SendAgainError)) throw error;
  const end = await verdict(shard, claim);
  if (end !== null) return end;
  if (partsOf(shard, claim).some((part) => part.payload_id === null)) throw error;
  shard.uploads.startAnew(row.upload_id);
  throw new SendAgainError(messageOf(error));
}

function partsOf(shard: Shard, { row }: Claim): PartRow[] {
  return row.upload_id === null ? [] : shard.uploads.parts(row.upload_id);
}

/** What comes after it on the key is not applied as long as a call of this claim may take. */
function keepClaim(shard: Shard, { row, lease }: Claim, deadlineMs: number): void {
  const until = Date.now() + deadlineMs + FENCE_MARGIN_MS;
  shard.calls.open({ call_id: lease, key: row.key, kind: "drain", operation_id: row.operation_id, until });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
