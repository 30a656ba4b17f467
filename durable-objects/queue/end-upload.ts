/** The ends of multipart uploads. Everything here is synchronous, and commits whole. */
import { isQueueUpload } from "../../src/shared/keys";
import type { OperationRow } from "./operation-row";
import type { Shard } from "./shard";
import type { UploadRow } from "./upload-store";

/** R2 lets go of an upload that nobody has completed for so long, and so do we. */
export const UPLOAD_LIFE_MS = 7 * 86_400_000;
/** R2 aborts what is forgotten here by itself, after its own seven days. */
const MAX_ABORTED = 1_000;
const SWEEP_LIMIT = 10;
/** So long the caller has to tell R2 itself. */
const OWN_ABORT_MS = 60_000;

/** Parts may be many and small: they are all freed in slices. */
export function freeParts(shard: Shard, payloads: readonly { readonly id: string }[]): void {
  for (const { id } of payloads) shard.payloads.free(id, Number.POSITIVE_INFINITY);
}

/**
 * Its caller gives an upload up. True: R2 has it, and is to be told; should nobody else do it, the drain does. One whose
 * completion is queued is past that, as it would be in R2.
 */
export function abortUpload(shard: Shard, key: string, uploadId: string, now: number): boolean {
  const { uploads, link } = shard;
  const upload = uploads.get(uploadId, key);
  if (upload === null) {
    if (isQueueUpload(uploadId)) return false;
    if (uploads.aborted < MAX_ABORTED) uploads.openAborted(uploadId, key, now + OWN_ABORT_MS);
    return true;
  }
  if (upload.state === "queued") return false;
  letGo(shard, upload, now + OWN_ABORT_MS);
  link.usageChanged();
  return upload.r2_upload_id !== null;
}

/** R2 has done with an upload. */
export function forgetUpload(shard: Shard, key: string, uploadId: string): void {
  const upload = shard.uploads.get(uploadId, key);
  if (upload === null || upload.state === "queued") return;
  letGo(shard, upload, null);
  shard.link.usageChanged();
}

/** The operation that was to complete an upload has ended. */
export function endUploadOf(shard: Shard, row: OperationRow, isCompleted: boolean, now: number): void {
  const upload = row.upload_id === null ? null : shard.uploads.get(row.upload_id, row.key);
  if (upload !== null) letGo(shard, upload, isCompleted ? null : now);
}

/** Uploads that are past their life. */
export function sweepUploads(shard: Shard, now: number): void {
  for (let n = 0; n < SWEEP_LIMIT; n += 1) {
    const upload = shard.uploads.oldest();
    if (upload === null || upload.created_at + UPLOAD_LIFE_MS > now) return;
    letGo(shard, upload, null);
  }
}

/** `abortAt`: when R2 is told to forget it too; null: R2 need not be told. */
function letGo(shard: Shard, upload: UploadRow, abortAt: number | null): void {
  const { uploads } = shard;
  const owesAbort = abortAt !== null && upload.r2_upload_id !== null;
  freeParts(shard, owesAbort ? uploads.abort(upload, abortAt) : uploads.remove(upload));
}
