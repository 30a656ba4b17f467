/** A multipart upload begins: here, because R2 does not take it, or in R2, and is taken down here. */
import { UPLOADS_HASH } from "../../src/shared/keys";
import type { OpenUploadRequest } from "../../src/shared/multipart-protocol";
import type { Refusal } from "../../src/shared/protocol";
import { askForRoom, fits, roomProblem } from "./capacity";
import { sealMetadata } from "./metadata";
import { ssecNeedsEncryption } from "./refusals";
import type { Shard } from "./shard";
import { uploadProblem } from "./upload-request";

export async function openUpload(shard: Shard, request: OpenUploadRequest): Promise<Refusal | null> {
  const { uploads, cipher } = shard;
  const { uploadId, key, origin, metadata } = request;
  const problem = uploadProblem(request);
  if (problem !== null) return problem;
  if (metadata.ssecKey !== null && !cipher.encrypts) return ssecNeedsEncryption();
  if (origin === "queue") await shard.steps.at("upload.reserve", askForRoom(shard, [UPLOADS_HASH], 1, 0));
  const sealed = await shard.steps.at("upload.seal", sealMetadata(cipher, metadata, uploadId));
  if (uploads.get(uploadId, key) !== null) return null;
  // One that was begun in R2 holds no room here as long as its parts are there.
  if (origin === "queue" && !fits(shard, 1, 0)) return roomProblem(shard, 0);
  uploads.open({
    upload_id: uploadId,
    key,
    origin,
    r2_upload_id: origin === "r2" ? uploadId : null,
    metadata: sealed.text,
    key_id: sealed.keyId,
    created_at: Date.now(),
  });
  shard.changed();
  return null;
}
