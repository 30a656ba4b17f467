/** Gives a stored payload out again: whole and in memory when small, else as a stream. */
import { PayloadError } from "./payload-cipher";
import { CHUNK_BYTES } from "./payload-store";
import type { Piece } from "./pieces";
import type { Shard } from "./shard";

/** The bytes of a piece of at most one chunk. */
export async function smallPayload(shard: Shard, piece: Piece): Promise<Uint8Array> {
  return piece.size === 0 ? new Uint8Array() : chunk(shard, piece, 0);
}

/** What R2 is given: bytes, or a stream of known length. */
interface PayloadValue {
  readonly value: Uint8Array | ReadableStream<Uint8Array>;
  /** The call has ended or was given up. A stream that nobody reads to its end would pin its payload for good. */
  stop(): void;
  /** Why the payload could not be read to its end, when that is so: then R2 is not to blame for what became of the call. */
  problem(): unknown;
}

export async function payloadValue(shard: Shard, piece: Piece): Promise<PayloadValue> {
  if (piece.size <= CHUNK_BYTES)
    return { value: await smallPayload(shard, piece), stop: () => {}, problem: () => null };
  const { readable, writable } = new FixedLengthStream(piece.size);
  const stopped = new AbortController();
  // A broken payload breaks the stream, so that R2 refuses the put; the put's own error is the one that counts.
  let problem: unknown = null;
  const { stream, finish } = openPayload(shard, [piece], 0, piece.size, (error) => {
    problem = error;
  });
  stream.pipeTo(writable, { signal: stopped.signal }).catch(() => undefined);
  const stop = () => {
    stopped.abort();
    // A pipe whose write waits for a reader does not hear of it: a call that hangs without reading would pin for good.
    if (!readable.locked) readable.cancel().catch(() => undefined);
    finish();
  };
  return { value: readable, stop, problem: () => problem };
}

/**
 * Bytes `[offset, offset + length)` of the pieces as one. They are pinned until the stream ends; a row that is missing
 * or altered breaks the stream, it never ends it early.
 */
export function payloadStream(
  shard: Shard,
  pieces: readonly Piece[],
  offset: number,
  length: number,
): ReadableStream<Uint8Array> {
  return openPayload(shard, pieces, offset, length, () => {}).stream;
}

/** `finish` lets the payload go before the stream has ended. */
function openPayload(
  shard: Shard,
  pieces: readonly Piece[],
  offset: number,
  length: number,
  onBroken: (error: unknown) => void,
): { stream: ReadableStream<Uint8Array>; finish: () => void } {
  const releases = pieces.map((piece) => shard.pins.pin(piece.id));
  const end = offset + length;
  let at = offset;
  /** The piece that `at` is in, and where it begins. */
  let index = 0;
  let start = 0;
  let isFinished = false;
  const finish = () => {
    isFinished = true;
    for (const release of releases) release();
    shard.changed();
  };
  const stream = new ReadableStream({
    type: "bytes",
    async pull(controller) {
      if (at >= end) {
        finish();
        controller.close();
        // A reader that brought its own buffer waits for an answer to it.
        (controller as ReadableByteStreamController).byobRequest?.respond(0);
        return;
      }
      try {
        // A reader that never makes us wait, as local R2, would let nothing else run until the last byte.
        await pause();
        let piece = pieces[index];
        while (piece !== undefined && at >= start + piece.size) {
          start += piece.size;
          index += 1;
          piece = pieces[index];
        }
        if (piece === undefined) throw new PayloadError(pieces[0]?.id ?? "");
        const n = Math.floor((at - start) / CHUNK_BYTES);
        const bytes = await chunk(shard, piece, n);
        if (isFinished) return;
        const from = at - start - n * CHUNK_BYTES;
        const wanted = bytes.slice(from, Math.min(bytes.byteLength, end - start - n * CHUNK_BYTES));
        if (wanted.byteLength === 0) throw new PayloadError(piece.id);
        at += wanted.byteLength;
        controller.enqueue(wanted);
      } catch (error) {
        finish();
        onBroken(error);
        throw error;
      }
    },
    cancel: finish,
  });
  return { stream, finish };
}

/** Lets what has come in meanwhile run first. */
function pause(): Promise<void> {
  return new Promise((resume) => setTimeout(resume, 0));
}

async function chunk(shard: Shard, piece: Piece, n: number): Promise<Uint8Array> {
  const sealed = shard.payloads.read(piece.id, n);
  if (sealed === null) throw new PayloadError(piece.id);
  return shard.cipher.open(sealed, piece.keyId, piece.id, n);
}
