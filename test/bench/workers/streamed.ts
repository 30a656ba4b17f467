/** Large writes in an outage: synthetic streams through FailoverBucket, and bare ones into rows. */
import { FailoverBucket } from "../../../src/bucket/failover-bucket";
import { queueStub } from "../../../src/bucket/stubs";
import { shardOfOperation } from "../../../src/shared/keys";
import { randomBytes } from "./bytes";
import { type BenchEnv, peer, shardOf } from "./queued";
import { BY } from "./refused";

/** A bare RPC stream into rows, and one whose MD5 is taken on its way, as an etag needs it. */
export type StreamSide = "ours" | "peer" | "hashing peer";

const PIECE_BYTES = 65_536;
const POLL_MS = 20;

/** A stream of so many bytes that costs its reader's process next to nothing: always the same piece. */
function synthetic(size: number): ReadableStream<Uint8Array> {
  const { readable, writable } = new FixedLengthStream(size);
  const writer = writable.getWriter();
  const piece = randomBytes(PIECE_BYTES);
  const send = async () => {
    for (let left = size; left > 0; left -= PIECE_BYTES) await writer.write(piece.subarray(0, left));
    await writer.close();
  };
  send().catch((error: unknown) => writer.abort(error).catch(() => undefined));
  return readable;
}

/** One write of a stream. Answers how long it took, ms; what it has stored is gone again afterwards. */
export async function streamedPut(env: BenchEnv, side: StreamSide, service: string, size: number): Promise<number> {
  const startedAt = Date.now();
  if (side !== "ours") {
    await peer(env).store(synthetic(size), side === "hashing peer");
    const ms = Date.now() - startedAt;
    await peer(env).clear();
    return ms;
  }
  const outcome = await new FailoverBucket(env, { service }).write("streamed", synthetic(size));
  const ms = Date.now() - startedAt;
  if (outcome.kind !== "queued") throw new Error(`the write was ${outcome.kind}`);
  const { operationId } = outcome.operation;
  const shard = shardOfOperation(operationId) ?? 0;
  await queueStub(env, service, shard).cancel(operationId, BY);
  while ((await shardOf(env, service, shard).chunks()) > 0) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return ms;
}

/** A multipart upload that R2 knows nothing of, completed. Its parts are streams. */
export async function queueUpload(env: BenchEnv, service: string, size: number, partSize: number): Promise<void> {
  const upload = await new FailoverBucket(env, { service }).createMultipartUpload("uploaded");
  const parts: R2UploadedPart[] = [];
  for (let sent = 0; sent < size; sent += partSize) {
    parts.push(await upload.uploadPart(parts.length + 1, synthetic(partSize)));
  }
  const { kind, object } = await upload.finish(parts);
  if (kind !== "queued" || object.size !== size) throw new Error(`${object.size} bytes of ${size} are ${kind}`);
}
