/** Multipart uploads: begun in R2 while it takes them, else in the queue. */
import { waitUntil } from "cloudflare:workers";
import { isQueueUpload, queueUploadId } from "../shared/keys";
import { admit } from "./admission";
import { type Completed, completeUpload } from "./complete-path";
import { callR2 } from "./direct-call";
import type { PartValue } from "./part-checks";
import { type PartOptions, TELL_TIMEOUT_MS, type UploadName, uploadPart } from "./part-path";
import { checkKey, multipartMetadata } from "./put-options";
import { prepare, refuseWhenReadOnly, type Session } from "./session";
import { askShard, refused, sendToShard } from "./shard-call";
import type { WriteOptions } from "./write-options";

/**
 * A multipart upload that outlives R2: parts that R2 does not take are kept in the queue, and so is its completion. One
 * that was begun in an outage lives in the queue as a whole until it is completed.
 */
export class FailoverUpload implements R2MultipartUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly #session: Session;

  constructor(session: Session, { key, uploadId }: UploadName) {
    this.#session = session;
    this.key = key;
    this.uploadId = uploadId;
  }

  uploadPart(partNumber: number, value: PartValue, options: PartOptions = {}): Promise<R2UploadedPart> {
    return uploadPart(this.#session, this, partNumber, value, options);
  }

  async complete(parts: R2UploadedPart[], options: WriteOptions = {}): Promise<R2Object> {
    return (await this.finish(parts, options)).object;
  }

  abort(): Promise<void> {
    return abortUpload(this.#session, this);
  }

  /** `complete` that tells what became of it. */
  finish(parts: R2UploadedPart[], options: WriteOptions = {}): Promise<Completed> {
    return completeUpload(this.#session, this, parts, options);
  }
}

/** Begins an upload. Rejects with R2's own errors for bad options, or with a `FailoverError`. */
export async function createUpload(session: Session, key: string, options: R2MultipartOptions): Promise<UploadName> {
  await prepare(session, "write");
  refuseWhenReadOnly(session);
  const admission = admit(session.state, "write", Date.now());
  if (admission.admitted) {
    const result = await callR2(session, {
      method: "createMultipartUpload",
      permit: admission.permit,
      check: () => void multipartMetadata(options),
      send: () => session.r2.createMultipartUpload(key, options),
    });
    if (result.kind === "answered") {
      const { uploadId } = result.value;
      await takeDown(session, { key, uploadId }, options);
      return { key, uploadId };
    }
  }
  checkKey("createMultipartUpload", key);
  const metadata = multipartMetadata(options);
  const uploadId = queueUploadId();
  const refusal = await sendToShard(session, key, null, (shard) =>
    shard.openUpload({ uploadId, key, origin: "queue", metadata }),
  );
  if (refusal !== null) throw refused(refusal);
  return { key, uploadId };
}

/** Without this the upload can be finished only by R2 itself: that is no reason to refuse it. */
async function takeDown(session: Session, { key, uploadId }: UploadName, options: R2MultipartOptions): Promise<void> {
  const told = async () => {
    const metadata = multipartMetadata(options);
    await askShard(
      session,
      key,
      (shard) => shard.openUpload({ uploadId, key, origin: "r2", metadata }),
      TELL_TIMEOUT_MS,
    );
  };
  const telling = told().catch(() => undefined);
  waitUntil(telling);
  if (Date.now() >= session.state.queueDownUntil) await telling;
}

/** The shard first: it must not complete what is being aborted. Should R2 not take the abort, the queue repeats it. */
async function abortUpload(session: Session, { key, uploadId }: UploadName): Promise<void> {
  checkKey("abortMultipartUpload", key);
  await prepare(session, "write");
  const isInR2 = await askShard(session, key, (shard) => shard.abortUpload(key, uploadId));
  if (!isInR2 || isQueueUpload(uploadId)) return;
  const admission = admit(session.state, "write", Date.now());
  if (!admission.admitted) return;
  const forget = () =>
    waitUntil(askShard(session, key, (shard) => shard.forgetUpload(key, uploadId)).catch(() => undefined));
  try {
    const result = await callR2(session, {
      method: "abort",
      permit: admission.permit,
      send: () => session.r2.resumeMultipartUpload(key, uploadId).abort(),
    });
    if (result.kind === "answered") forget();
  } catch (error) {
    forget();
    throw error;
  }
}
