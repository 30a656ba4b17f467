/** Bodies of every kind that a put takes. Each write is another one, by its metadata at least; some have equal bytes. */
import type { BodyKind } from "./program";
import { ABSENT, type StateId } from "./reference";

export interface Content {
  readonly id: StateId;
  readonly etag: string;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly options: { readonly customMetadata: { id: string }; readonly httpMetadata: { contentType?: string } };
}

export interface MadeBody {
  readonly content: Content;
  readonly value: string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream | null;
  /** For a stream whose length the runtime does not know. */
  readonly size?: number;
  /** The caller has been answered, and uses its memory for something else. */
  reuse(): void;
}

/** More than one row of payload. */
const LARGE_BYTES = 1_300_000;

export class Bodies {
  readonly #contents = new Map<StateId, Content>();
  #made = 0;
  readonly #lastBytes = new Map<number, Uint8Array>();

  constructor(private readonly name: string) {}

  content(id: StateId): Content {
    const content = this.#contents.get(id);
    if (content === undefined) throw new Error(`nobody ever wrote ${id}`);
    return content;
  }

  etagOf(state: StateId): string | null {
    return state === ABSENT ? null : this.content(state).etag;
  }

  async make(kind: BodyKind, key: number): Promise<MadeBody> {
    this.#made += 1;
    const n = this.#made;
    const id = `${n}-${kind}`;
    const bytes = this.#bytes(kind, id, key);
    this.#lastBytes.set(key, bytes);
    const content = {
      id,
      etag: hex(await crypto.subtle.digest("MD5", bytes)),
      size: bytes.byteLength,
      bytes,
      options: {
        customMetadata: { id },
        httpMetadata: n % 2 === 0 ? { contentType: `text/${kind}` } : {},
      },
    };
    this.#contents.set(id, content);
    return { content, reuse: () => undefined, ...value(kind, bytes) };
  }

  expectBytes(state: StateId, bytes: Uint8Array, range: { offset: number; length: number } | null): void {
    const whole = this.content(state).bytes;
    const wanted = range === null ? whole : whole.subarray(range.offset, range.offset + range.length);
    if (wanted.byteLength === bytes.byteLength && wanted.every((byte, n) => byte === bytes[n])) return;
    throw new Error(`${state} has other bytes than were written: ${bytes.byteLength} of ${wanted.byteLength}`);
  }

  #bytes(kind: BodyKind, id: string, key: number): Uint8Array {
    if (kind === "empty") return new Uint8Array();
    if (kind === "twin") return this.#lastBytes.get(key) ?? new Uint8Array([7, 7, 7, 7]);
    const text = new TextEncoder().encode(`${this.name} wrote ${id}`);
    if (kind !== "large") return text;
    const large = new Uint8Array(LARGE_BYTES).fill(text.byteLength);
    large.set(text);
    return large;
  }
}

function value(kind: BodyKind, bytes: Uint8Array): Pick<MadeBody, "value"> & Partial<MadeBody> {
  const copy = bytes.slice();
  const reuse = () => void copy.fill(0);
  switch (kind) {
    case "text":
      return { value: new TextDecoder().decode(bytes) };
    case "empty":
      return { value: null };
    case "buffer":
    case "twin":
      return { value: copy.buffer, reuse };
    case "view":
    case "large":
      return { value: copy, reuse };
    case "blob":
      return { value: new Blob([copy]) };
    case "stream": {
      const { readable, writable } = new FixedLengthStream(bytes.byteLength);
      const writer = writable.getWriter();
      writer
        .write(copy)
        .then(() => writer.close())
        // Whoever gives the stream up has the error.
        .catch(() => undefined);
      return { value: readable };
    }
    case "sized":
      return { value: inPieces(copy), size: bytes.byteLength };
  }
}

function inPieces(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.byteLength) return controller.close();
      controller.enqueue(bytes.slice(at, at + 7));
      at += 7;
    },
  });
}

function hex(digest: ArrayBuffer): string {
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
