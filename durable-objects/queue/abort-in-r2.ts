import { classifyR2Error } from "../../src/bucket/r2-errors";
import { callR2, writeDeadlineMs } from "./r2-calls";
import type { Shard } from "./shard";
import type { UploadRow } from "./upload-store";

const RETRY_MS = 60_000;
const MAX_RETRY_MS = 3_600_000;

/** Tells R2 to let go of an upload. Never throws; what fails is put off, and ends with the upload's own life. */
export async function abortInR2(shard: Shard, upload: UploadRow, now: number, random: () => number): Promise<void> {
  const { uploads, bucket } = shard;
  // First of all: should this object die, the next one does not spin.
  const pauseMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** upload.abort_tries) * (1 + random());
  uploads.putOffAbort(upload.upload_id, now + pauseMs);
  const r2 = bucket.resumeMultipartUpload(upload.key, upload.r2_upload_id ?? upload.upload_id);
  const isRepeated = upload.abort_tries > 0;
  const call = callR2(shard, "write", "abort", writeDeadlineMs(shard, 0), isRepeated, () => r2.abort());
  try {
    await shard.steps.at("apply.abort", call);
    uploads.remove(upload);
  } catch (error) {
    // R2 does not know it any more.
    if (classifyR2Error(error).outcome === "caller") uploads.remove(upload);
  }
}
