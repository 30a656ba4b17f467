/** Takes a payload in: hashes it, cuts it into chunks, seals and stores them. */
import type { ChecksumAlgorithm } from "../../src/shared/protocol";
import type { Admission } from "./capacity";
import { type Checksums, closeDigests, digestBytes, openDigest } from "./digests";
import { chunksOf, type Payload } from "./payload";
import { CHUNK_BYTES } from "./payload-store";
import type { Shard } from "./shard";

export interface Received {
  readonly size: number;
  readonly checksums: Checksums;
  /** A small payload, sealed, is not stored yet: it goes in together with its operation. */
  readonly inline: Uint8Array | null;
}

/** The payload has no room. `size` is how large it is at the least. */
export class NoRoomError extends Error {
  constructor(readonly size: number) {
    super("no room");
  }
}

/**
 * Receives a payload. A small one stays in memory; a larger one is stored as it comes, under a receipt. Throws
 * `NoRoomError` when it grows beyond what is admitted. On any error, the source's own included, the receipt is given up
 * and the error passed on. The receipt is open when the first await is met.
 */
export async function receive(
  shard: Shard,
  payloadId: string,
  key: string,
  algorithms: readonly ChecksumAlgorithm[],
  payload: Payload,
  admission: Admission,
): Promise<Received> {
  if (payload instanceof Uint8Array && payload.byteLength <= CHUNK_BYTES) {
    const checksums = await shard.steps.at("enqueue.digest", digestBytes(payload, algorithms));
    const inline = await shard.steps.at("enqueue.seal", shard.cipher.seal(payload, payloadId, 0));
    return { size: payload.byteLength, checksums, inline };
  }
  const { payloads } = shard;
  payloads.openReceipt(payloadId, key);
  try {
    return await receiveChunks(shard, payloadId, algorithms, chunksOf(payload), admission);
  } catch (error) {
    payloads.closeReceipt(payloadId);
    payloads.free(payloadId, Number.POSITIVE_INFINITY);
    shard.changed();
    throw error;
  }
}

async function receiveChunks(
  shard: Shard,
  payloadId: string,
  algorithms: readonly ChecksumAlgorithm[],
  chunks: AsyncGenerator<Uint8Array>,
  admission: Admission,
): Promise<Received> {
  const digests = algorithms.map(openDigest);
  let n = 0;
  let size = 0;
  for (;;) {
    const next = await shard.steps.at("enqueue.read", chunks.next());
    if (next.done === true) break;
    const chunk = next.value;
    size += chunk.byteLength;
    if (!(await shard.steps.at("enqueue.reserve", admission.grow(size)))) {
      // The source must not go on sending what nobody takes.
      chunks.return(undefined).catch(() => undefined);
      throw new NoRoomError(size);
    }
    await shard.steps.at("enqueue.digest", Promise.all(digests.map((digest) => digest.write(chunk))));
    const sealed = await shard.steps.at("enqueue.seal", shard.cipher.seal(chunk, payloadId, n));
    shard.payloads.write(payloadId, n, sealed);
    n += 1;
  }
  const checksums = await shard.steps.at("enqueue.digest", closeDigests(digests));
  return { size, checksums, inline: null };
}
