/** Takes a payload in: hashes it, cuts it into chunks, seals and stores them. */
import type { PutMetadata } from "../../src/shared/protocol";
import { algorithmsOf, type Checksums, closeDigests, digestBytes, openDigest } from "./digests";
import { chunksOf, type Payload } from "./payload";
import { CHUNK_BYTES } from "./payload-store";
import type { Shard } from "./shard";

export interface Received {
  readonly size: number;
  readonly checksums: Checksums;
  /** A small payload, sealed, is not stored yet: it goes in together with its operation. */
  readonly inline: Uint8Array | null;
}

/** Thrown by `admit` when the payload has no room; the receipt has been given up. */
export class NoRoomError extends Error {}

/**
 * Receives a payload. A small one stays in memory; a larger one is stored as it comes, under a receipt, which counts
 * towards the bounds: `admit` is asked before each chunk, and throws when there is no room. On any error, the
 * source's own included, the receipt is given up and the error passed on.
 */
export async function receive(
  shard: Shard,
  operationId: string,
  key: string,
  metadata: PutMetadata | null,
  payload: Payload,
  admit: (bytes: number) => void,
): Promise<Received> {
  if (payload instanceof Uint8Array && payload.byteLength <= CHUNK_BYTES) {
    const checksums = await shard.steps.at("enqueue.digest", digestBytes(payload, algorithmsOf(metadata)));
    const inline = await shard.steps.at("enqueue.seal", shard.cipher.seal(payload, operationId, 0));
    return { size: payload.byteLength, checksums, inline };
  }
  const { payloads } = shard;
  payloads.openReceipt(operationId, key);
  try {
    return await receiveChunks(shard, operationId, metadata, payload, admit);
  } catch (error) {
    payloads.closeReceipt(operationId);
    payloads.free(operationId, Number.POSITIVE_INFINITY);
    shard.changed();
    throw error;
  }
}

async function receiveChunks(
  shard: Shard,
  operationId: string,
  metadata: PutMetadata | null,
  payload: Payload,
  admit: (bytes: number) => void,
): Promise<Received> {
  const digests = algorithmsOf(metadata).map(openDigest);
  let n = 0;
  let size = 0;
  const chunks = chunksOf(payload);
  for (;;) {
    const next = await shard.steps.at("enqueue.read", chunks.next());
    if (next.done === true) break;
    const chunk = next.value;
    admit(chunk.byteLength);
    await shard.steps.at("enqueue.digest", Promise.all(digests.map((digest) => digest.write(chunk))));
    const sealed = await shard.steps.at("enqueue.seal", shard.cipher.seal(chunk, operationId, n));
    shard.payloads.write(operationId, n, sealed);
    shard.payloads.growReceipt(operationId, chunk.byteLength);
    size += chunk.byteLength;
    n += 1;
  }
  const checksums = await shard.steps.at("enqueue.digest", closeDigests(digests));
  return { size, checksums, inline: null };
}
