/**
 * A stream that can be sent more than once: what has been read of it is kept, so that a write that R2 has failed can go
 * to the queue whole, the kept part first and then the rest.
 *
 * Kept are up to 16 MiB a stream and 64 MiB in one isolate (of its 128 MB). A stream that outgrows this goes on, but only
 * once: from then on `canReplay` is false.
 */

const MIB = 1024 * 1024;
export const REPLAY_LIMIT_BYTES = 16 * MIB;
const ISOLATE_BUDGET_BYTES = 64 * MIB;
/** Large reads keep JavaScript out of the way: with 64 KiB a streamed put is as fast as a native one, with 4 KiB not. */
const READ_BYTES = 64 * 1024;

/** A stream that brings nothing for this long has lost its claim: a request that is cancelled never gives it back. */
const CLAIM_MS = 5 * 60_000;

/** What one stream keeps. */
interface Claim {
  bytes: number;
  touchedAt: number;
}

const claims = new Set<Claim>();

/** Bytes that streams of this isolate may still keep. */
export function replayBudgetLeft(now: number): number {
  let left = ISOLATE_BUDGET_BYTES;
  for (const claim of claims) {
    if (now - claim.touchedAt > CLAIM_MS) claims.delete(claim);
    else left -= claim.bytes;
  }
  return left;
}

type ReadChunk = () => Promise<ReadableStreamReadResult<unknown>>;

export class ReplayBody {
  readonly size: number;
  readonly #source: ReadableStream;
  #read: ReadChunk | null = null;
  #cancel: () => Promise<void> = () => Promise.resolve();
  #kept: Uint8Array[] = [];
  readonly #claim: Claim = { bytes: 0, touchedAt: 0 };
  #isKeeping = true;
  #chunks = 0;
  #bytes = 0;
  #hasEnded = false;
  #broken: { readonly error: unknown } | null = null;
  #pending: Promise<void> | null = null;
  #latest: Uint8Array | null = null;

  /** `size`: the bytes that the source must bring, no more and no fewer. */
  constructor(source: ReadableStream, size: number) {
    this.#source = source;
    this.size = size;
  }

  /** Whether `chunk(0)` can still be had. */
  get canReplay(): boolean {
    return this.#isKeeping;
  }

  /** Whether all of the stream has been read, and is kept. */
  get isWhole(): boolean {
    return this.#hasEnded && this.#isKeeping;
  }

  /** The source's own error, once it has broken: it is the caller's, and no receiver is to blame. */
  get broken(): { readonly error: unknown } | null {
    return this.#broken;
  }

  /** Whether chunk `index` is there without waiting for the source. */
  has(index: number): boolean {
    return index < this.#kept.length || this.#hasEnded;
  }

  /** Chunk `index` of the stream, null past its end. Rejects with the source's own error. */
  async chunk(index: number): Promise<Uint8Array | null> {
    while (index >= this.#chunks && !this.#hasEnded && this.#broken === null) {
      // Two receivers, one of them given up, may wait for the same chunk.
      this.#pending ??= this.#pull().finally(() => {
        this.#pending = null;
      });
      await this.#pending;
    }
    if (this.#broken !== null) throw this.#broken.error;
    if (index >= this.#chunks) return null;
    const chunk = this.#kept[index] ?? (index === this.#chunks - 1 ? this.#latest : null);
    if (chunk === null) throw new Error("The stream has outgrown what is kept of it, and cannot be sent again.");
    return chunk;
  }

  /** All of it, as one piece of memory. */
  async collect(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.size);
    let offset = 0;
    for (let index = 0; ; index += 1) {
      const chunk = await this.chunk(index);
      if (chunk === null) return bytes;
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
  }

  /** Gives back what is kept, and tells the source that nobody reads on. */
  release(): void {
    this.#forget();
    if (!this.#hasEnded && this.#broken === null) this.#cancel().catch(() => undefined);
  }

  async #pull(): Promise<void> {
    try {
      this.#read ??= this.#open();
      const { done, value } = await this.#read();
      if (done) this.#end();
      else this.#add(bytesOf(value));
    } catch (error) {
      this.#broken = { error };
    }
  }

  #open(): ReadChunk {
    const reader = byobReader(this.#source);
    if (reader !== null) {
      this.#cancel = () => reader.cancel();
      return () => reader.read(new Uint8Array(this.#readBuffer()));
    }
    const plainReader = this.#source.getReader();
    this.#cancel = () => plainReader.cancel();
    return () => plainReader.read();
  }

  /** Once nothing is kept, the last chunk has been taken when the next one is asked for: one buffer does for all. */
  #readBuffer(): ArrayBufferLike {
    const last = this.#isKeeping ? undefined : this.#latest?.buffer;
    return last?.byteLength === READ_BYTES ? last : new ArrayBuffer(READ_BYTES);
  }

  #end(): void {
    if (this.#bytes < this.size) {
      throw new TypeError("FixedLengthStream did not see all expected bytes before close().");
    }
    this.#hasEnded = true;
  }

  #add(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > this.size) {
      this.#cancel().catch(() => undefined);
      throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
    }
    this.#keep(chunk);
    this.#latest = chunk;
    this.#chunks += 1;
  }

  #keep(chunk: Uint8Array): void {
    if (!this.#isKeeping) return;
    const now = Date.now();
    const size = chunk.byteLength;
    if (this.#claim.bytes + size > REPLAY_LIMIT_BYTES || size > replayBudgetLeft(now)) {
      this.#forget();
      return;
    }
    this.#claim.bytes += size;
    this.#claim.touchedAt = now;
    claims.add(this.#claim);
    // A short read would keep the whole of its read buffer alive.
    this.#kept.push(size * 2 < chunk.buffer.byteLength ? chunk.slice() : chunk);
  }

  #forget(): void {
    claims.delete(this.#claim);
    this.#kept = [];
    this.#isKeeping = false;
  }
}

function byobReader(source: ReadableStream): ReadableStreamBYOBReader | null {
  try {
    return source.getReader({ mode: "byob" });
  } catch {
    return null;
  }
}

const encoder = new TextEncoder();

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === "string") return encoder.encode(chunk);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  throw new TypeError("This ReadableStream did not return bytes.");
}
