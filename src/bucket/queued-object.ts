/** R2 objects made from what the queue has stored: the same bytes, metadata and etag that R2 will hold after the drain. */
import type { PutMetadata, Stored } from "../shared/protocol";
import type { ByteRange } from "./ranges";

type Checksums = Stored["checksums"];

class QueuedChecksums implements R2Checksums {
  declare readonly md5?: ArrayBuffer;
  declare readonly sha1?: ArrayBuffer;
  declare readonly sha256?: ArrayBuffer;
  declare readonly sha384?: ArrayBuffer;
  declare readonly sha512?: ArrayBuffer;
  readonly #hex: Checksums;

  constructor(hex: Checksums) {
    this.#hex = hex;
    for (const [algorithm, value] of Object.entries(hex)) Object.assign(this, { [algorithm]: bytesOf(value) });
  }

  toJSON(): R2StringChecksums {
    return { ...this.#hex };
  }
}

function bytesOf(hex: string): ArrayBuffer {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)).buffer;
}

/** A queued write as an R2Object. Until the drain it has no version of R2's: `version` is its operation id. */
export class QueuedObject implements R2Object {
  readonly queued = true;
  readonly operationId: string;
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

  constructor(stored: Stored, metadata: PutMetadata | null, range?: ByteRange) {
    this.operationId = stored.operationId;
    this.key = stored.key;
    this.version = stored.operationId;
    this.size = stored.size;
    this.etag = stored.etag;
    this.httpEtag = `"${stored.etag}"`;
    this.checksums = new QueuedChecksums(stored.checksums);
    this.uploaded = new Date(stored.enqueuedAt);
    this.httpMetadata = { ...metadata?.httpMetadata };
    this.customMetadata = { ...metadata?.customMetadata };
    this.storageClass = metadata?.storageClass ?? "Standard";
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

/** A queued write with its bytes. The body ends in an error if it brings fewer bytes than `range` says. */
export class QueuedObjectBody extends QueuedObject implements R2ObjectBody {
  readonly #response: Response;

  constructor(
    stored: Stored,
    metadata: PutMetadata | null,
    range: ByteRange,
    body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  ) {
    super(stored, metadata, range);
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
