/**
 * Completes a multipart upload: R2 has no condition for it, so it asks first, as a delete does.
 *
 * It goes to R2 directly when R2 has all that it names and nothing of the key is queued; then R2 judges it. Else its
 * parts are judged here, and it becomes one operation that takes over what the parts hold.
 */
import { fingerprintOf, fingerprintOfParts } from "../../src/bucket/ledger";
import { hashKey } from "../../src/shared/keys";
import type { CompleteUploadReply, CompleteUploadRequest } from "../../src/shared/multipart-protocol";
import type { PutMetadata, Refusal } from "../../src/shared/protocol";
import { isKeyFree, openTicket } from "./ask";
import { askForRoom, fits, roomProblem } from "./capacity";
import { multipartEtag } from "./digests";
import { freeParts } from "./end-upload";
import { openMetadata, openUploadMetadata, type SealedMetadata, sealMetadata } from "./metadata";
import { type OperationRow, storedOf } from "./operation-row";
import { accept, quarantine } from "./order";
import { areAllInR2, judgeParts, type KnownPart } from "./part-list";
import { idReused, noSuchUpload, unknownUpload, unrecordedParts, uploadChanging } from "./refusals";
import { score } from "./schedule";
import type { Shard } from "./shard";
import { completionProblem } from "./upload-request";
import type { UploadRow } from "./upload-store";

type Judgement =
  | { readonly verdict: "direct" }
  | { readonly verdict: "queue"; readonly upload: UploadRow; readonly parts: readonly KnownPart[] }
  | { readonly verdict: "refused"; readonly refusal: Refusal };

/** What a queued completion is made of, beside its parts. */
interface Made {
  readonly etag: string;
  readonly metadata: PutMetadata;
  readonly sealed: SealedMetadata;
}

/** Parts that change while they are put together make the question anew; after so many times somebody else is at it. */
const MAX_ROUNDS = 4;

export async function completeUpload(shard: Shard, request: CompleteUploadRequest): Promise<CompleteUploadReply> {
  const problem = completionProblem(request);
  if (problem !== null) return refuse(shard, request, problem);
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const known = shard.store.byOperationId(request.operationId);
    if (known !== null) return await repeat(shard, request, known);
    const judged = judge(shard, request);
    if (judged.verdict === "refused") return refuse(shard, request, judged.refusal);
    if (judged.verdict === "direct") {
      // Whoever gets the ticket may die with its call in flight: a completion that is queued later must know R2's for its own.
      shard.uploads.completing(request.uploadId, Date.now());
      const ticket = openTicket(shard, request.key, request.operationId, request.deadlineMs);
      shard.changed();
      return { ok: true, verdict: "direct", ticket };
    }
    const made = await make(shard, request, judged.upload, judged.parts);
    if (!fits(shard, newOperations(judged.upload), 0)) return refuse(shard, request, roomProblem(shard, 0));
    // From here to the end of `accept` nothing awaits: the upload becomes an operation as it was judged, or not at all.
    const again = judge(shard, request);
    if (JSON.stringify(again) !== JSON.stringify(judged)) continue;
    if (shard.store.byOperationId(request.operationId) !== null) continue;
    const row = commit(shard, request, judged.upload, judged.parts, made);
    shard.changed();
    await shard.steps.at("complete.confirm", shard.link.confirm());
    return queued(shard, row, made.metadata);
  }
  return refuse(shard, request, uploadChanging());
}

function judge(shard: Shard, request: CompleteUploadRequest): Judgement {
  const { uploadId, key, origin, parts, writable, ticket } = request;
  const refused = (refusal: Refusal): Judgement => ({ verdict: "refused", refusal });
  const upload = shard.uploads.get(uploadId, key);
  if (upload === null && origin === "queue") return refused(noSuchUpload("completeMultipartUpload"));
  if (upload !== null && upload.state !== "open") return refused(noSuchUpload("completeMultipartUpload"));
  const recorded = upload === null ? [] : shard.uploads.parts(uploadId);
  const mayCallR2 = origin === "r2" && writable && ticket === null && isKeyFree(shard, key);
  if (mayCallR2 && areAllInR2(parts, recorded)) return { verdict: "direct" };
  if (upload === null) return refused(unknownUpload());
  const verdict = judgeParts(parts, recorded, origin === "queue");
  switch (verdict.kind) {
    case "whole":
      return { verdict: "queue", upload, parts: verdict.parts };
    case "refused":
      return refused(verdict.refusal);
    case "unrecorded":
      return refused(unrecordedParts(verdict.partNumbers));
  }
}

async function make(
  shard: Shard,
  request: CompleteUploadRequest,
  upload: UploadRow,
  parts: readonly KnownPart[],
): Promise<Made> {
  const { cipher } = shard;
  const room = askForRoom(shard, [hashKey(request.key)], newOperations(upload), 0);
  await shard.steps.at("complete.reserve", room);
  const metadata = await shard.steps.at("complete.open", openUploadMetadata(cipher, upload));
  const etag = await shard.steps.at("complete.etag", multipartEtag(parts.map(({ md5 }) => md5)));
  const sealed = await shard.steps.at("complete.seal", sealMetadata(cipher, metadata, request.operationId));
  return { etag, metadata, sealed };
}

/** One that was begun here has the place of an operation already. */
function newOperations(upload: UploadRow): number {
  return upload.origin === "queue" ? 0 : 1;
}

function commit(
  shard: Shard,
  request: CompleteUploadRequest,
  upload: UploadRow,
  parts: readonly KnownPart[],
  { etag, metadata, sealed }: Made,
): OperationRow {
  const { uploads, calls } = shard;
  const { operationId, key, priority, maxRetries, userId, fileId, directCall, precededBy, ticket } = request;
  const now = Date.now();
  const named = new Set(parts.map((part) => part.part_number));
  for (const part of uploads.parts(upload.upload_id)) {
    if (!named.has(part.part_number)) freeParts(shard, uploads.removePart(upload.upload_id, part.part_number));
  }
  uploads.queue(upload);
  if (ticket !== null) calls.close(ticket);
  if (precededBy !== null) calls.rememberOlder(key, precededBy, now);
  const size = sum(parts);
  return accept(
    shard,
    {
      ...{ operationId, priority, maxRetries, userId, fileId, key, now, etag, size },
      type: "MULTIPART_UPLOAD",
      payload: sealed.text,
      keyId: sealed.keyId,
      score: score(now, priority),
      fenceAt: now + 1,
      firstCallAt: upload.completing_from ?? (directCall === null ? null : now - directCall.startedMsAgo),
      needsEpoch: 0,
      heldBytes: sum(parts.filter((part) => part.payload_id !== null)),
      checksums: "{}",
      // Under a customer key R2's etag is made of no MD5s.
      fingerprint:
        metadata.ssecKey === null ? fingerprintOf({ ...metadata, etag, size }) : fingerprintOfParts(parts.length),
      uploadId: upload.upload_id,
    },
    directCall,
  );
}

function sum(parts: readonly KnownPart[]): number {
  return parts.reduce((total, { size }) => total + size, 0);
}

/** The same id again: the same answer, if it completes the same upload. */
async function repeat(shard: Shard, request: CompleteUploadRequest, row: OperationRow): Promise<CompleteUploadReply> {
  if (row.key !== request.key || row.upload_id !== request.uploadId) return refuse(shard, request, idReused());
  const metadata = await shard.steps.at("complete.open", openMetadata(shard.cipher, row));
  return metadata === null ? refuse(shard, request, idReused()) : queued(shard, row, metadata);
}

function queued(shard: Shard, row: OperationRow, metadata: PutMetadata): CompleteUploadReply {
  return { ok: true, verdict: "queued", stored: storedOf(row), metadata, shard: shard.link.view };
}

/** Nothing is queued. A call that may yet land keeps its key quarantined all the same. */
function refuse(shard: Shard, request: CompleteUploadRequest, why: Refusal): Refusal {
  const { key, ticket, directCall } = request;
  if (directCall !== null) quarantine(shard, key, fingerprintOfParts(request.parts.length), directCall, Date.now());
  else if (ticket !== null) shard.calls.close(ticket);
  shard.changed();
  return why;
}
