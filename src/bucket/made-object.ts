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
  readonly #response: Response;

  constructor(facts: ObjectFacts, range: ByteRange, body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>) {
    super(facts, range);
    const contentType = this.httpMetadata.contentType;
    // Piped through a stream that knows its length, so that an early end is an error, never a clean end.
    this.#response = new Response(
      body instanceof ReadableStream ? body.pipeThrough(new FixedLengthStream(range.length)) : body,
      contentType === undefined ? {} : { headers: { "content-type": contentType } },
    );
  }

  get body(): ReadableStream {
    return this.#response.body ?? new Blob([]).stream();
  }

  get bodyUsed(): boolean {
    return this.#response.bodyUsed;
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#response.arrayBuffer();
  }

  bytes(): Promise<Uint8Array> {
    return this.#response.bytes();
  }

  text(): Promise<string> {
    return this.#response.text();
  }

  json<T>(): Promise<T> {
    return this.#response.json<T>();
  }

  blob(): Promise<Blob> {
    return this.#response.blob();
  }
}
