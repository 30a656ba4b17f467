/** Parts of multipart uploads: to R2 while it takes them, else to the shard of the upload's key. */
import { waitUntil } from "cloudflare:workers";
import { isQueueUpload } from "../shared/keys";
import type { UploadedPart, UploadState } from "../shared/multipart-protocol";
import { admit } from "./admission";
import { callR2 } from "./direct-call";
import { isBusy, isTrusted } from "./isolate-state";
import { checkPartNumber, checkPartValue, type PartValue } from "./part-checks";
import { ssecKeyHex } from "./put-options";
import { QUEUE_DOWN_MS } from "./read-path";
import { prepare, refuseWhenReadOnly, type Session } from "./session";
import { askShard, QueueUnreachableError, refused, sendToShard } from "./shard-call";
import { type WriteBody, writeBody } from "./write-body";
import { checkWriteOptions, type WriteOptions } from "./write-options";

/** A part is told of before it is acknowledged, but a silent shard does not hold up R2's answer for longer. */
export const TELL_TIMEOUT_MS = 2_000;

export interface UploadName {
  readonly key: string;
  readonly uploadId: string;
}

export type PartOptions = R2UploadPartOptions & Pick<WriteOptions, "size">;

interface Part {
  readonly partNumber: number;
  readonly body: WriteBody;
  readonly r2: R2UploadPartOptions;
}

export async function uploadPart(
  session: Session,
  upload: UploadName,
  partNumber: number,
  value: PartValue,
  options: PartOptions,
): Promise<R2UploadedPart> {
  const number = checkPartNumber(partNumber);
  checkPartValue(value);
  checkWriteOptions(options);
  const { size, ...r2 } = options;
  const body = await writeBody(value, size);
  try {
    await prepare(session, "write");
    refuseWhenReadOnly(session);
    return await send(session, upload, { partNumber: number, body, r2 });
  } finally {
    body.release();
  }
}

async function send(session: Session, upload: UploadName, part: Part): Promise<R2UploadedPart> {
  const { key, uploadId } = upload;
  if (isQueueUpload(uploadId)) return toQueue(session, upload, part);
  await refuseWhenClosed(session, upload);
  const admission = admit(session.state, "write", Date.now());
  if (!admission.admitted) return toQueue(session, upload, part);
  const { body, partNumber, r2 } = part;
  const result = await callR2(session, {
    method: "uploadPart",
    permit: admission.permit,
    body,
    check: () => void customerKey(r2),
    send: (clock) =>
      session.r2.resumeMultipartUpload(key, uploadId).uploadPart(partNumber, body.forR2(clock) ?? "", r2),
  });
  if (result.kind === "failed") return toQueue(session, upload, part);
  await tellShard(session, upload, await measured(result.value, part));
  return result.value;
}

async function toQueue(session: Session, upload: UploadName, part: Part): Promise<R2UploadedPart> {
  const { partNumber, body } = part;
  const ssecKey = customerKey(part.r2);
  try {
    const answer = await sendToShard(session, upload.key, body, async (shard, sent) => {
      const { size, value } = sent ?? { size: 0, value: new Uint8Array() };
      return shard.uploadPart({ ...upload, partNumber, size, ssecKey }, value);
    });
    if (!answer.ok) throw refused(answer);
    return { ...answer.part };
  } catch (error) {
    throw body.broken === null ? error : body.broken.error;
  }
}

/**
 * R2 does not know yet that an upload is closed whose completion is queued: a part that it took now could take the place
 * of one that was acknowledged.
 */
async function refuseWhenClosed(session: Session, { key, uploadId }: UploadName): Promise<void> {
  const { state } = session;
  const isKnownBusy = isBusy(state, key);
  const isPastCap = state.snapshot !== null && !isTrusted(state, Date.now());
  if (!isKnownBusy && !isPastCap) return;
  let known: UploadState;
  try {
    known = await askShard(session, key, (shard) => shard.uploadState(key, uploadId));
  } catch (error) {
    // Past the cap, and nobody can be asked any more: only R2 is left.
    if (!isKnownBusy && error instanceof QueueUnreachableError) return;
    throw error;
  }
  if (known === "closed") throw noSuchUpload();
}

/** Size and MD5 of a part that R2 has taken: in production its etag is its MD5, unless a customer's key is in play. */
async function measured(sent: R2UploadedPart, { body, r2 }: Part): Promise<UploadedPart> {
  const { partNumber, etag } = sent;
  if (/^[0-9a-f]{32}$/.test(etag) && r2.ssecKey === undefined && body.size !== null) {
    return { partNumber, etag, size: body.size, md5: etag };
  }
  const digest = await body.digest();
  return { partNumber, etag, size: digest?.size ?? body.size, md5: digest?.etag ?? null };
}

/** Should R2 fail before the upload is completed, the shard must know what R2 holds of it. */
async function tellShard(session: Session, { key, uploadId }: UploadName, part: UploadedPart): Promise<void> {
  const { state } = session;
  const told = askShard(session, key, (shard) => shard.partUploaded(key, uploadId, part), TELL_TIMEOUT_MS);
  waitUntil(told.catch(() => undefined));
  if (Date.now() < state.queueDownUntil) return;
  let known: UploadState;
  try {
    known = await told;
  } catch {
    state.queueDownUntil = Date.now() + QUEUE_DOWN_MS;
    return;
  }
  if (known === "closed") throw noSuchUpload();
}

function customerKey({ ssecKey }: R2UploadPartOptions): string | null {
  return ssecKey === undefined ? null : ssecKeyHex(ssecKey);
}

function noSuchUpload(): Error {
  return new Error("uploadPart: The specified multipart upload does not exist. (10024)");
}
