/** `R2PutOptions` in plain form, to be stored and given to R2 again. Pure. Throws what R2 throws on bad options. */
import { MAX_KEY_BYTES } from "../shared/keys";
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm, type PutMetadata } from "../shared/protocol";
import { dateOf, headerDate, isObject, structOf, textOf, wrongType } from "./r2-arguments";

const MAX_CUSTOM_METADATA_BYTES = 8_192;

const CHECKSUMS: Readonly<Record<ChecksumAlgorithm, { readonly name: string; readonly bytes: number }>> = {
  md5: { name: "MD5", bytes: 16 },
  sha1: { name: "SHA-1", bytes: 20 },
  sha256: { name: "SHA-256", bytes: 32 },
  sha384: { name: "SHA-384", bytes: 48 },
  sha512: { name: "SHA-512", bytes: 64 },
};

const encoder = new TextEncoder();

/**
 * R2's caller error 10020 for a key that is empty, over 1,024 bytes, or holds half of a surrogate pair. Where R2 itself
 * is asked it says so; this is for keys that meet the queue first.
 */
export function checkKey(action: WriteAction | "get" | "head", key: string): void {
  const bytes = encoder.encode(key).byteLength;
  if (bytes === 0 || bytes > MAX_KEY_BYTES || !key.isWellFormed()) {
    throw new Error(`${action}: The specified object name is not valid. (10020)`);
  }
}

/** R2's name for what is done, as it stands in its messages. */
type WriteAction = "put" | "delete" | "createMultipartUpload" | "completeMultipartUpload" | "abortMultipartUpload";

/** What R2's messages call the options. */
type Struct = "PutOptions" | "MultipartOptions";

export function putMetadata(options: R2PutOptions, action: WriteAction = "put"): PutMetadata {
  const struct: Struct = action === "createMultipartUpload" ? "MultipartOptions" : "PutOptions";
  const customMetadata = plainCustomMetadata(struct, options.customMetadata);
  checkCustomMetadata(customMetadata, action);
  return {
    httpMetadata: plainHttpMetadata(struct, options.httpMetadata),
    customMetadata,
    checksum: checksumOf(options),
    storageClass: options.storageClass === undefined ? null : textOf(options.storageClass),
    ssecKey: options.ssecKey === undefined ? null : ssecKeyHex(options.ssecKey),
  };
}

/** The options to give R2, with which the object becomes what the caller asked for. */
export function putOptions(metadata: PutMetadata): R2PutOptions {
  const { httpMetadata, customMetadata, checksum, storageClass, ssecKey } = metadata;
  return {
    httpMetadata: { ...httpMetadata },
    customMetadata: { ...customMetadata },
    ...(checksum !== null && { [checksum.algorithm]: checksum.hex }),
    ...(storageClass !== null && { storageClass }),
    ...(ssecKey !== null && { ssecKey }),
  };
}

/** The options of a multipart upload; it has no checksum. Throws what R2 throws on bad ones. */
export function multipartMetadata(options: R2MultipartOptions): PutMetadata {
  const { httpMetadata, customMetadata, storageClass, ssecKey } = options;
  const given = {
    ...(httpMetadata !== undefined && { httpMetadata }),
    ...(customMetadata !== undefined && { customMetadata }),
    ...(storageClass !== undefined && { storageClass }),
    ...(ssecKey !== undefined && { ssecKey }),
  };
  return putMetadata(given, "createMultipartUpload");
}

/** The options to give R2, with which the upload's object becomes what the caller asked for. */
export function multipartOptions(metadata: PutMetadata): R2MultipartOptions {
  return putOptions({ ...metadata, checksum: null });
}

function plainHttpMetadata(struct: Struct, given: R2HTTPMetadata | Headers | undefined): R2HTTPMetadata {
  const metadata = structOf(struct, "httpMetadata", "HttpMetadata", given);
  const text = metadata instanceof Headers ? headerTexts(metadata) : (metadata ?? {});
  const plain: R2HTTPMetadata = {};
  for (const field of TEXT_FIELDS) {
    const value = text[field];
    if (value !== undefined) plain[field] = textOf(value);
  }
  const cacheExpiry = dateOf("HttpMetadata", "cacheExpiry", text.cacheExpiry);
  if (cacheExpiry !== undefined) plain.cacheExpiry = new Date(cacheExpiry);
  return plain;
}

const TEXT_FIELDS = [
  "contentType",
  "contentLanguage",
  "contentDisposition",
  "contentEncoding",
  "cacheControl",
] as const satisfies readonly (keyof R2HTTPMetadata)[];

const HEADER_NAMES: Readonly<Record<(typeof TEXT_FIELDS)[number], string>> = {
  contentType: "content-type",
  contentLanguage: "content-language",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  cacheControl: "cache-control",
};

function headerTexts(headers: Headers): R2HTTPMetadata {
  const texts: R2HTTPMetadata = {};
  for (const field of TEXT_FIELDS) {
    const value = headers.get(HEADER_NAMES[field]);
    if (value !== null) texts[field] = value;
  }
  const expires = headers.get("expires");
  if (expires !== null) texts.cacheExpiry = headerDate(expires);
  return texts;
}

function plainCustomMetadata(struct: Struct, given: Record<string, string> | undefined): Record<string, string> {
  if (given === undefined) return {};
  if (!isObject(given) || Array.isArray(given)) throw wrongType(struct, "customMetadata", "object");
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, textOf(value)]));
}

function checkCustomMetadata(metadata: Readonly<Record<string, string>>, action: WriteAction): void {
  let bytes = 0;
  for (const [name, value] of Object.entries(metadata)) {
    bytes += encoder.encode(name).byteLength + encoder.encode(value).byteLength;
  }
  if (bytes > MAX_CUSTOM_METADATA_BYTES) {
    throw new Error(`${action}: Your metadata headers exceed the maximum allowed metadata size. (10012)`);
  }
}

function checksumOf(options: R2PutOptions): PutMetadata["checksum"] {
  const given = CHECKSUM_ALGORITHMS.flatMap((algorithm) => {
    const value = options[algorithm];
    if (value === undefined) return [];
    const isOfType = typeof value === "string" || value instanceof ArrayBuffer || ArrayBuffer.isView(value);
    if (!isOfType) throw wrongType("PutOptions", algorithm, "BufferSource or string");
    return [{ algorithm, value }];
  });
  const [first] = given;
  if (first === undefined) return null;
  const hex = checksumHex(first.algorithm, first.value);
  if (given.length > 1) throw new TypeError("You cannot specify multiple hashing algorithms.");
  return { algorithm: first.algorithm, hex };
}

function checksumHex(algorithm: ChecksumAlgorithm, value: string | ArrayBuffer | ArrayBufferView): string {
  const { name, bytes } = CHECKSUMS[algorithm];
  if (typeof value === "string") {
    if (value.length !== bytes * 2) throw new TypeError(`${name} is ${bytes * 2} hex characters, not ${value.length}`);
    if (!/^[0-9a-f]*$/i.test(value)) throw new TypeError(`Provided ${name} wasn't a valid hex string`);
    return value.toLowerCase();
  }
  if (value.byteLength !== bytes) throw new TypeError(`${name} is ${bytes} bytes, not ${value.byteLength}`);
  return toHex(value);
}

/** An SSE-C key, 32 bytes, as lower-case hex. Throws what R2 throws on another form. */
export function ssecKeyHex(given: string | ArrayBuffer): string {
  const key = given instanceof ArrayBuffer || ArrayBuffer.isView(given) ? given : textOf(given);
  if (typeof key === "string" && !/^[0-9a-f]+$/.test(key)) throw new Error("SSE-C Key has invalid format");
  const bytes = typeof key === "string" ? key.length / 2 : key.byteLength;
  if (bytes !== 32) throw new Error("SSE-C Key must be 32 bytes in length");
  return typeof key === "string" ? key : toHex(key);
}

export function toHex(bytes: ArrayBuffer | ArrayBufferView): string {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  return Array.from(view, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
