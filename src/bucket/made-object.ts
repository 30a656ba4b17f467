/** R2 objects made from what is known of them, where R2 itself does not answer. They look and behave like R2's own. */
import type { ChecksumAlgorithm } from "../shared/protocol";
import type { ByteRange } from "./ranges";

/** Hex. */
type Checksums = Readonly<Partial<Record<ChecksumAlgorithm, string>>>;

/** What R2 tells of an object. */
export interface ObjectFacts {
  readonly key: string;
  readonly version: string;
  readonly size: number;
  readonly etag: string;
  /** Epoch ms. */
  readonly uploaded: number;
  readonly checksums: Checksums;
  readonly httpMetadata: R2HTTPMetadata;
  readonly customMetadata: Readonly<Record<string, string>>;
  readonly storageClass: string;
}

class MadeChecksums implements R2Checksums {
  declare readonly md5?: ArrayBuffer;
  declare readonly sha1?: ArrayBuffer;
  declare readonly sha256?: ArrayBuffer;
  declare readonly sha384?: ArrayBuffer;
  declare readonly sha512?: ArrayBuffer;
  readonly #hex: Checksums;

  constructor(hex: Checksums) {
    this.#hex = hex;
    // Made when they are looked at: a list is of a thousand objects, whose buffers hardly anybody asks for.
    for (const [algorithm, value] of Object.entries(hex)) {
      let bytes: ArrayBuffer | undefined;
      const get = () => {
        bytes ??= bytesOf(value);
        return bytes;
      };
      Object.defineProperty(this, algorithm, { get, enumerable: true });
    }
  }

  toJSON(): R2StringChecksums {
    return { ...this.#hex };
  }
}

function bytesOf(hex: string): ArrayBuffer {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)).buffer;
}

export class MadeObject implements R2Object {
  readonly key: string;
  readonly version: string;
  readonly size: number;
  readonly etag: string;
  readonly httpEtag: string;
  readonly checksums: R2Checksums;
  readonly uploaded: Date;
  readonly httpMetadata: R2HTTPMetadata;
  readonly customMetadata: Record<string, string>;
  readonly storageClass: string;
  declare readonly range?: R2Range;

  constructor(facts: ObjectFacts, range?: ByteRange) {
    this.key = facts.key;
    this.version = facts.version;
    this.size = facts.size;
    this.etag = facts.etag;
    this.httpEtag = `"${facts.etag}"`;
    this.checksums = new MadeChecksums(facts.checksums);
    this.uploaded = new Date(facts.uploaded);
    this.httpMetadata = { ...facts.httpMetadata };
    this.customMetadata = { ...facts.customMetadata };
    this.storageClass = facts.storageClass;
    if (range !== undefined) this.range = range;
  }

  writeHttpMetadata(headers: Headers): void {
    const { contentType, contentLanguage, contentDisposition, contentEncoding, cacheControl, cacheExpiry } =
      this.httpMetadata;
    if (contentType !== undefined) headers.set("content-type", contentType);
    if (contentLanguage !== undefined) headers.set("content-language", contentLanguage);
    if (contentDisposition !== undefined) headers.set("content-disposition", contentDisposition);
    if (contentEncoding !== undefined) headers.set("content-encoding", contentEncoding);
    if (cacheControl !== undefined) headers.set("cache-control", cacheControl);
    if (cacheExpiry !== undefined) headers.set("expires", cacheExpiry.toUTCString());
  }
}

/** An object with its bytes. The body ends in an error if it brings fewer bytes than `range` says. */
export class MadeObjectBody extends MadeObject implements R2ObjectBody {
  readonly #source: Uint8Array | ReadableStream<Uint8Array>;
  #response: Response | null = null;

  constructor(facts: ObjectFacts, range: ByteRange, source: Uint8Array | ReadableStream<Uint8Array>) {
    super(facts, range);
    // Piped through a stream that knows its length, so that an early end is an error, never a clean end.
    this.#source = source instanceof ReadableStream ? source.pipeThrough(new FixedLengthStream(range.length)) : source;
  }

  get body(): ReadableStream {
    return this.#open().body ?? new Blob([]).stream();
  }

  get bodyUsed(): boolean {
    return this.#response?.bodyUsed ?? false;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = this.#take();
    return bytes === null ? this.#open().arrayBuffer() : ownBuffer(bytes);
  }

  async bytes(): Promise<Uint8Array> {
    return this.#take() ?? this.#open().bytes();
  }

  async text(): Promise<string> {
    const bytes = this.#take();
    return bytes === null ? this.#open().text() : new TextDecoder().decode(bytes);
  }

  async json<T>(): Promise<T> {
    return JSON.parse(await this.text());
  }

  async blob(): Promise<Blob> {
    return blobOf(await this.arrayBuffer(), this.httpMetadata);
  }

  /**
   * All of a body that is in memory and that nobody has asked for yet; it is used then. A Response would copy it through
   * a stream, piece by piece: of 1 MiB that takes longer than to get it from the queue.
   */
  #take(): Uint8Array | null {
    if (this.#response !== null || this.#source instanceof ReadableStream) return null;
    this.#response = new Response("");
    void this.#response.text();
    return this.#source;
  }

  #open(): Response {
    this.#response ??= new Response(this.#source);
    return this.#response;
  }
}

function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength ? buffer : bytes.slice().buffer;
}

/** Its type is the object's content type to the letter, as R2 has it: `Blob` itself would put it in lower case. */
export function blobOf(bytes: ArrayBuffer, { contentType: type }: R2HTTPMetadata = {}): Blob {
  if (type === undefined) return new Blob([bytes]);
  return Object.defineProperty(new Blob([bytes], { type }), "type", { value: type });
}
