/** Gives a stored payload out again: whole and in memory when small, else as a stream. */
import type { OperationRow } from "./operation-row";
import { PayloadError } from "./payload-cipher";
import { CHUNK_BYTES } from "./payload-store";
import type { Shard } from "./shard";

/** The bytes of a payload of at most one chunk. */
export async function smallPayload(shard: Shard, row: OperationRow): Promise<Uint8Array> {
  return row.size === 0 ? new Uint8Array() : chunk(shard, row, 0);
}

/** What R2 is given: bytes, or a stream of known length. */
interface PayloadValue {
  readonly value: Uint8Array | ReadableStream<Uint8Array>;
  /** The call has ended or was given up. A stream that nobody reads to its end would pin its payload for good. */
  stop(): void;
  /** Why the payload could not be read to its end, when that is so: then R2 is not to blame for what became of the call. */
  problem(): unknown;
}

export async function payloadValue(shard: Shard, row: OperationRow): Promise<PayloadValue> {
  if (row.size <= CHUNK_BYTES) return { value: await smallPayload(shard, row), stop: () => {}, problem: () => null };
  const { readable, writable } = new FixedLengthStream(row.size);
  const stopped = new AbortController();
  // A broken payload breaks the stream, so that R2 refuses the put; the put's own error is the one that counts.
  let problem: unknown = null;
  const { stream, finish } = openPayload(shard, row, 0, row.size, (error) => {
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
 * Bytes `[offset, offset + length)`. The payload is pinned until the stream ends; a row that is missing or altered
 * breaks the stream, it never ends it early.
 */
export function payloadStream(
  shard: Shard,
  row: OperationRow,
  offset: number,
  length: number,
): ReadableStream<Uint8Array> {
  return openPayload(shard, row, offset, length, () => {}).stream;
}

/** `finish` lets the payload go before the stream has ended. */
function openPayload(
  shard: Shard,
  row: OperationRow,
  offset: number,
  length: number,
  onBroken: (error: unknown) => void,
): { stream: ReadableStream<Uint8Array>; finish: () => void } {
  const release = shard.pins.pin(row.operation_id);
  const end = offset + length;
  let at = offset;
  let isFinished = false;
  const finish = () => {
    isFinished = true;
    release();
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
        const n = Math.floor(at / CHUNK_BYTES);
        const bytes = await chunk(shard, row, n);
        if (isFinished) return;
        const from = at - n * CHUNK_BYTES;
        const piece = bytes.slice(from, Math.min(bytes.byteLength, end - n * CHUNK_BYTES));
        if (piece.byteLength === 0) throw new PayloadError(row.operation_id);
        at += piece.byteLength;
        controller.enqueue(piece);
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

async function chunk(shard: Shard, row: OperationRow, n: number): Promise<Uint8Array> {
  const sealed = shard.payloads.read(row.operation_id, n);
  if (sealed === null) throw new PayloadError(row.operation_id);
  return shard.cipher.open(sealed, row.key_id, row.operation_id, n);
}
