/** Parts of multipart uploads: stored here, or taken down when R2 has them. */
import { isQueueUpload, UPLOADS_HASH } from "../../src/shared/keys";
import type { NamedPart, UploadedPart, UploadPartRequest, UploadState } from "../../src/shared/multipart-protocol";
import type { Answer, Refusal } from "../../src/shared/protocol";
import { type Admission, admit, roomProblem } from "./capacity";
import { freeParts } from "./end-upload";
import { openUploadMetadata } from "./metadata";
import type { Payload } from "./payload";
import { NoRoomError, type Received, receive } from "./receive";
import { noSuchUpload, otherCustomerKey, ssecNeedsEncryption, unknownUpload, wrongSize } from "./refusals";
import type { Shard } from "./shard";
import { partProblem, uploadProblem } from "./upload-request";
import type { UploadRow } from "./upload-store";

/** Stores a part. Nothing is acknowledged before its row and its chunks are committed together. */
export async function receivePart(
  shard: Shard,
  request: UploadPartRequest,
  body: Payload,
): Promise<Answer<{ part: NamedPart }>> {
  const { key, ssecKey } = request;
  const problem = uploadProblem(request) ?? partProblem(request.partNumber) ?? uploadRefusal(shard, request);
  if (problem !== null) return problem;
  if (ssecKey !== null && !shard.cipher.encrypts) return ssecNeedsEncryption();
  const expected = body instanceof Uint8Array ? body.byteLength : (request.size ?? 0);
  const admission = await shard.steps.at("upload.reserve", admit(shard, UPLOADS_HASH, expected));
  if (admission === null) return roomProblem(shard, expected);
  try {
    const upload = shard.uploads.get(request.uploadId, key);
    if (upload?.state !== "open") return noSuchUpload("uploadPart");
    const opened = Promise.all([openUploadMetadata(shard.cipher, upload), shard.cipher.keyId()]);
    const [metadata, keyId] = await shard.steps.at("upload.open", opened);
    if (metadata.ssecKey !== ssecKey) return otherCustomerKey();
    return await take(shard, request, body, admission, keyId);
  } finally {
    admission.close();
    shard.changed();
  }
}

async function take(
  shard: Shard,
  request: UploadPartRequest,
  body: Payload,
  admission: Admission,
  keyId: string | null,
): Promise<Answer<{ part: NamedPart }>> {
  const { uploads, payloads } = shard;
  const { uploadId, key, partNumber, size } = request;
  // A part of the same number may be on its way already, and the last one that arrives counts.
  const payloadId = `${uploadId}/${partNumber}/${crypto.randomUUID()}`;
  let received: Received;
  try {
    received = await receive(shard, payloadId, key, ["md5"], body, admission);
  } catch (error) {
    if (error instanceof NoRoomError) return roomProblem(shard, error.size);
    throw error;
  }
  // From here on nothing awaits: the part and its chunks commit together.
  const refusal =
    size !== null && size !== received.size ? wrongSize(size, received.size) : uploadRefusal(shard, request);
  if (refusal !== null) {
    abandon(shard, payloadId, received);
    return refusal;
  }
  const etag = received.checksums.md5;
  if (received.inline === null) payloads.closeReceipt(payloadId);
  else if (received.size > 0) payloads.write(payloadId, 0, received.inline);
  const replaced = uploads.putPart({
    upload_id: uploadId,
    part_number: partNumber,
    etag,
    size: received.size,
    md5: etag,
    payload_id: payloadId,
    key_id: keyId,
    r2_etag: null,
  });
  freeParts(shard, replaced);
  shard.link.usageChanged();
  return { ok: true, part: { partNumber, etag } };
}

/** R2 has taken a part; what is here under its number counts no more. */
export function takeDownPart(shard: Shard, key: string, uploadId: string, part: UploadedPart): UploadState {
  const upload = shard.uploads.get(uploadId, key);
  if (upload?.state !== "open" || partProblem(part.partNumber) !== null) return stateOf(upload);
  const replaced = shard.uploads.putPart({
    upload_id: uploadId,
    part_number: part.partNumber,
    etag: part.etag,
    size: part.size,
    md5: part.md5,
    payload_id: null,
    key_id: null,
    r2_etag: part.etag,
  });
  freeParts(shard, replaced);
  if (replaced.length > 0) shard.link.usageChanged();
  shard.changed();
  return "open";
}

export function stateOf(upload: UploadRow | null): UploadState {
  if (upload === null) return "unknown";
  return upload.state === "open" ? "open" : "closed";
}

/** Why the upload takes no part here, or null. */
function uploadRefusal(shard: Shard, { uploadId, key }: UploadPartRequest): Refusal | null {
  const state = stateOf(shard.uploads.get(uploadId, key));
  if (state === "open") return null;
  return state === "unknown" && !isQueueUpload(uploadId) ? unknownUpload() : noSuchUpload("uploadPart");
}

function abandon(shard: Shard, payloadId: string, received: Received): void {
  if (received.inline !== null) return;
  shard.payloads.closeReceipt(payloadId);
  shard.payloads.free(payloadId, received.size);
}
