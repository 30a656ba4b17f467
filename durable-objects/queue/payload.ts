import { CHUNK_BYTES } from "./payload-store";

/** A put's body as it arrives. */
export type Payload = Uint8Array | ReadableStream<Uint8Array>;

/** Cuts a payload into chunks of `CHUNK_BYTES`, the last one shorter. An empty payload has none. */
export async function* chunksOf(payload: Payload): AsyncGenerator<Uint8Array> {
  if (payload instanceof Uint8Array) {
    for (let at = 0; at < payload.byteLength; at += CHUNK_BYTES) yield payload.subarray(at, at + CHUNK_BYTES);
    return;
  }
  let buffer = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  for await (const piece of payload) {
    for (let at = 0; at < piece.byteLength; ) {
      const taken = piece.subarray(at, at + CHUNK_BYTES - filled);
      buffer.set(taken, filled);
      filled += taken.byteLength;
      at += taken.byteLength;
      if (filled < CHUNK_BYTES) continue;
      yield buffer;
      buffer = new Uint8Array(CHUNK_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
