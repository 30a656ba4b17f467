/** The body of a write, as R2 takes it and as the queue does. */
import { FailoverError } from "../shared/errors";
import type { OwedClock } from "./deadline";
import { toHex } from "./put-options";
import { ReplayBody } from "./replay-body";

export type PutValue = Parameters<R2Bucket["put"]>[1];

const MIB = 1024 * 1024;
/** Up to this size a body is one value of an object call; beyond, it is a byte stream. */
const INLINE_BYTES = MIB;

export interface WriteBody {
  /** For R2. `clock` runs while R2 owes something. Every call gives the body anew, from its first byte. */
  forR2(clock: OwedClock): PutValue;
  /** For the queue, likewise. */
  forQueue(clock: OwedClock): Promise<QueueBody>;
  /** Whether the body can be given (again). */
  readonly canReplay: boolean;
  /** The error of the caller's own stream, once it has broken. */
  readonly broken: { readonly error: unknown } | null;
  /** Bytes; null: nobody knows yet. */
  readonly size: number | null;
  /** What identifies the bytes, when all of them are in memory. */
  digest(): Promise<BodyDigest | null>;
  release(): void;
}

export interface BodyDigest {
  /** MD5, hex. */
  readonly etag: string;
  readonly size: number;
}

export interface QueueBody {
  readonly size: number | null;
  readonly value: Uint8Array | ReadableStream<Uint8Array>;
}

/**
 * Takes any value that R2 takes. A stream needs a length: its own (a request's body, the readable half of a
 * FixedLengthStream) or `size`; short ones are read into memory at once. Rejects with the stream's own error.
 */
export async function writeBody(value: PutValue, size: number | undefined): Promise<WriteBody> {
  if (!(value instanceof ReadableStream)) return new MemoryBody(await takenValue(value));
  if (value.locked) throw new TypeError("The ReadableStream has been locked to a reader.");
  const length = nativeLength(value);
  const known = size ?? length.bytes;
  if (known === null) {
    if (!length.isTold) return new OpaqueBody(value);
    throw new TypeError(
      "Provided readable stream must have a known length (request/response body or readable half of FixedLengthStream)",
    );
  }
  const replay = new ReplayBody(value, known);
  return known <= INLINE_BYTES ? new MemoryBody(await replay.collect()) : new StreamBody(replay);
}

/** Throws what R2 throws on what it does not take. */
async function takenValue(value: Exclude<PutValue, ReadableStream>): Promise<typeof value> {
  // R2's binding writes half of a surrogate pair as it is, as a Blob does; an encoder would replace it.
  if (typeof value === "string") return value.isWellFormed() ? value : new Blob([value]).bytes();
  const isTaken =
    value === null ||
    value === undefined ||
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value) ||
    value instanceof Blob;
  if (isTaken) return value;
  throw new TypeError(
    "Failed to execute 'put' on 'R2Bucket': parameter 2 is not of type 'JsReadableStream or ArrayBuffer or ArrayBufferView or string or Blob'.",
  );
}

/**
 * The length that the runtime knows of a stream. R2's binding asks for it natively, but the only way to see it from
 * JavaScript is the property that `console.log` shows. A runtime without that property does not tell.
 */
function nativeLength(stream: ReadableStream): { readonly isTold: boolean; readonly bytes: number | null } {
  const symbol = Object.getOwnPropertySymbols(ReadableStream.prototype).find(
    ({ description }) => description === "length",
  );
  if (symbol === undefined) return { isTold: false, bytes: null };
  const length: unknown = Reflect.get(stream, symbol);
  return { isTold: true, bytes: length === undefined || length === null ? null : Number(length) };
}

const encoder = new TextEncoder();

class MemoryBody implements WriteBody {
  readonly canReplay = true;
  readonly broken = null;

  constructor(private readonly value: Exclude<PutValue, ReadableStream>) {}

  get size(): number {
    const { value } = this;
    if (value === null || value === undefined) return 0;
    if (typeof value === "string") return encoder.encode(value).byteLength;
    return value instanceof Blob ? value.size : value.byteLength;
  }

  forR2(): PutValue {
    return this.value;
  }

  async forQueue(clock: OwedClock): Promise<QueueBody> {
    if (this.value instanceof Blob && this.value.size > INLINE_BYTES) {
      return { size: this.value.size, value: this.value.stream() };
    }
    const bytes = await bytesOf(this.value);
    const size = bytes.byteLength;
    if (size > INLINE_BYTES) {
      const piece = async (index: number) => {
        const from = index * INLINE_BYTES;
        return from < size ? bytes.subarray(from, from + INLINE_BYTES) : null;
      };
      return { size, value: stream(size, piece, clock).readable };
    }
    // An object call would carry the whole buffer behind a view.
    return { size, value: size === bytes.buffer.byteLength ? bytes : bytes.slice() };
  }

  async digest(): Promise<BodyDigest> {
    const bytes = await bytesOf(this.value);
    return { etag: toHex(await crypto.subtle.digest("MD5", bytes)), size: bytes.byteLength };
  }

  release(): void {}
}

async function bytesOf(value: Exclude<PutValue, ReadableStream>): Promise<Uint8Array> {
  if (value === null || value === undefined) return new Uint8Array(0);
  if (typeof value === "string") return encoder.encode(value);
  if (value instanceof Blob) return new Uint8Array(await value.arrayBuffer());
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

class StreamBody implements WriteBody {
  #stop: (() => void) | null = null;

  constructor(private readonly replay: ReplayBody) {}

  get canReplay(): boolean {
    return this.replay.canReplay;
  }

  get broken(): { readonly error: unknown } | null {
    return this.replay.broken;
  }

  forR2(clock: OwedClock): PutValue {
    return this.#open(clock);
  }

  get size(): number {
    return this.replay.size;
  }

  async forQueue(clock: OwedClock): Promise<QueueBody> {
    return { size: this.replay.size, value: this.#open(clock) };
  }

  async digest(): Promise<BodyDigest | null> {
    if (!this.replay.isWhole) return null;
    const stream = new crypto.DigestStream("MD5");
    const writer = stream.getWriter();
    for (let index = 0; ; index += 1) {
      const chunk = await this.replay.chunk(index);
      if (chunk === null) break;
      await writer.write(chunk);
    }
    await writer.close();
    return { etag: toHex(await stream.digest), size: this.replay.size };
  }

  release(): void {
    this.#stop?.();
    this.replay.release();
  }

  #open(clock: OwedClock): ReadableStream<Uint8Array> {
    // A receiver that was given up must not get the rest: half a body cannot land.
    this.#stop?.();
    const { replay } = this;
    const piece = (index: number) => {
      if (!replay.has(index)) clock.pause();
      return replay.chunk(index);
    };
    const { readable, stop } = stream(replay.size, piece, clock);
    this.#stop = stop;
    return readable;
  }
}

/** A stream whose length the runtime keeps to itself: R2 takes it as it is, once. */
class OpaqueBody implements WriteBody {
  readonly broken = null;
  readonly size = null;
  #isGiven = false;

  constructor(private readonly source: ReadableStream) {}

  get canReplay(): boolean {
    return !this.#isGiven;
  }

  forR2(clock: OwedClock): PutValue {
    // Nobody sees whether R2 or the source is slow: better wait than kill a live upload.
    clock.stop();
    return this.#give();
  }

  async forQueue(clock: OwedClock): Promise<QueueBody> {
    clock.stop();
    return { size: null, value: this.#give() };
  }

  async digest(): Promise<null> {
    return null;
  }

  release(): void {}

  #give(): ReadableStream {
    if (this.#isGiven) throw new FailoverError("BODY_NOT_REPLAYABLE", "The stream can be sent only once.");
    this.#isGiven = true;
    return this.source;
  }
}

/** A byte stream of known length out of pieces, whose clock runs while the receiver owes the taking of one. */
function stream(
  size: number,
  piece: (index: number) => Promise<Uint8Array | null>,
  clock: OwedClock,
): { readonly readable: ReadableStream<Uint8Array>; readonly stop: () => void } {
  const { readable, writable } = new FixedLengthStream(size);
  const writer = writable.getWriter();
  const stop = (reason?: unknown) => void writer.abort(reason).catch(() => undefined);
  const send = async () => {
    for (let index = 0; ; index += 1) {
      const bytes = await piece(index);
      clock.run();
      if (bytes === null) break;
      await writer.write(bytes);
    }
    await writer.close();
    clock.run();
  };
  send().catch(stop);
  return { readable, stop: () => stop() };
}
