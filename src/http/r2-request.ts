import type { WriteOptions } from "../bucket/write-options";
import { FailoverError } from "../shared/errors";
import { operationId } from "../shared/keys";
import { brokenBody, readUpTo, wholeNumber } from "./input";
import { conditionHeaders } from "./preconditions";

/** Up to here a body is read before the write begins: what is in memory can always be sent again. */
const BUFFERED_BYTES = 1024 * 1024;
const META_PREFIX = "x-amz-meta-";
export const PRIORITY = { otherwise: 5, minimum: 1, maximum: 10 };

/** A body with its length: R2 takes no stream without one. */
export type PutBody =
  | { readonly kind: "bytes"; readonly value: Uint8Array; readonly size: number }
  | { readonly kind: "stream"; readonly value: ReadableStream<Uint8Array>; readonly size: number };

/** Throws `INVALID_REQUEST` for a body that breaks off, or is long and does not say how long. */
export async function putBody(request: Request): Promise<PutBody> {
  const declared = request.headers.get("content-length");
  const size = declared === null ? null : Number(declared);
  if (request.body !== null && size !== null && size > BUFFERED_BYTES) {
    return { kind: "stream", value: request.body, size };
  }
  const bytes =
    size === null
      ? await readUpTo(request.body, BUFFERED_BYTES)
      : await request.bytes().catch((cause: unknown) => {
          throw brokenBody(cause);
        });
  if (bytes === null) {
    throw new FailoverError(
      "INVALID_REQUEST",
      "Send Content-Length: a body over 1 MiB must say its length beforehand.",
    );
  }
  return { kind: "bytes", value: bytes, size: bytes.byteLength };
}

/** What a PUT's headers say, in R2's terms. Throws `INVALID_REQUEST` with the header's name. */
export function putOptions(headers: Headers, key: string, size: number): R2PutOptions & WriteOptions {
  if (headers.has("content-range")) {
    throw new FailoverError("INVALID_REQUEST", "content-range: an object can only be written as a whole.");
  }
  const md5 = contentMd5(headers.get("content-md5"));
  const onlyIf = conditionHeaders(headers);
  return {
    httpMetadata: httpMetadata(headers),
    customMetadata: customMetadata(headers),
    ...(md5 === null ? {} : { md5 }),
    ...(onlyIf === null ? {} : { onlyIf }),
    ...writeOptions(headers, key),
    size,
  };
}

/** What the headers say of the object that a multipart upload is to become. */
export function uploadOptions(headers: Headers): R2MultipartOptions {
  refuseHeaders(headers, ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]);
  return { httpMetadata: httpMetadata(headers), customMetadata: customMetadata(headers) };
}

/** Throws `INVALID_REQUEST` for headers that R2 cannot honour in a multipart upload: to ignore them would be to lie. */
export function refuseHeaders(headers: Headers, names: readonly string[]): void {
  for (const name of names) {
    if (headers.has(name)) {
      throw new FailoverError("INVALID_REQUEST", `${name} has no meaning for a multipart upload. Leave it out.`);
    }
  }
}

/** The options that a PUT, a DELETE and a completion share. */
export function writeOptions(headers: Headers, key: string): WriteOptions {
  const priority = wholeNumber(headers.get("x-failover-priority"), "x-failover-priority", PRIORITY);
  // The header's draft standard has the key in quotes; most clients send it bare.
  const idempotencyKey = headers.get("idempotency-key")?.replace(/^"(.*)"$/, "$1");
  if (idempotencyKey === undefined) return { priority };
  // Refused now and not first in an outage, when the id is made.
  operationId(key, 1, idempotencyKey);
  return { priority, operationId: idempotencyKey };
}

function contentMd5(header: string | null): ArrayBuffer | null {
  if (header === null) return null;
  if (!/^[A-Za-z0-9+/]{22}==$/.test(header.trim())) {
    throw new FailoverError("INVALID_REQUEST", "content-md5 must be 16 bytes in base64.");
  }
  return Uint8Array.from(atob(header.trim()), (character) => character.charCodeAt(0)).buffer;
}

function httpMetadata(headers: Headers): R2HTTPMetadata {
  const metadata: R2HTTPMetadata = {};
  const take = (name: string, field: Exclude<keyof R2HTTPMetadata, "cacheExpiry">) => {
    const value = headers.get(name);
    if (value !== null) metadata[field] = value;
  };
  take("content-type", "contentType");
  take("content-language", "contentLanguage");
  take("content-disposition", "contentDisposition");
  take("content-encoding", "contentEncoding");
  take("cache-control", "cacheControl");
  const expires = headers.get("expires");
  if (expires !== null) {
    const cacheExpiry = new Date(expires);
    if (Number.isNaN(cacheExpiry.getTime()))
      throw new FailoverError("INVALID_REQUEST", "expires must be an HTTP date.");
    metadata.cacheExpiry = cacheExpiry;
  }
  return metadata;
}

function customMetadata(headers: Headers): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (name.startsWith(META_PREFIX) && name.length > META_PREFIX.length)
      metadata[name.slice(META_PREFIX.length)] = value;
  }
  return metadata;
}
