import { CHUNK_BYTES } from "./payload-store";

/** A put's body as it arrives. */
export type Payload = Uint8Array | ReadableStream<Uint8Array>;

/**
 * Cuts a payload into chunks of `CHUNK_BYTES`, the last one shorter. An empty payload has none. The bytes of a chunk are
 * good until the next one is asked for: all chunks of a stream share their memory, or a large payload would be garbage
 * of its own size.
 */
export async function* chunksOf(payload: Payload): AsyncGenerator<Uint8Array> {
  if (payload instanceof Uint8Array) {
    for (let at = 0; at < payload.byteLength; at += CHUNK_BYTES) yield payload.subarray(at, at + CHUNK_BYTES);
    return;
  }
  const reader = byobReader(payload);
  if (reader === null) yield* chunksOfPieces(payload);
  else yield* chunksRead(reader);
}

/** What comes through an object call: the runtime fills whole chunks by itself. */
async function* chunksRead(reader: ReadableStreamBYOBReader): AsyncGenerator<Uint8Array> {
  try {
    let room = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      const { value } = await reader.readAtLeast(CHUNK_BYTES, room);
      if (value === undefined || value.byteLength === 0) return;
      yield value;
      room = new Uint8Array(value.buffer, 0, CHUNK_BYTES);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

async function* chunksOfPieces(payload: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  for await (const piece of payload) {
    for (let at = 0; at < piece.byteLength; ) {
      const taken = piece.subarray(at, at + CHUNK_BYTES - filled);
      buffer.set(taken, filled);
      filled += taken.byteLength;
      at += taken.byteLength;
      if (filled < CHUNK_BYTES) continue;
      yield buffer;
      filled = 0;
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

function byobReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return null;
  }
}
