/** What can be seen of an answer of the binding, as plain data: equal answers are equal data. */

import { toHex } from "../../../src/bucket/put-options";
import { CHECKSUM_ALGORITHMS } from "../../../src/shared/protocol";

/** Awaits a call and describes its answer, or its error. */
export async function told(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await described(await call());
  } catch (error) {
    return describedError(error);
  }
}

function describedError(error: unknown): { error: string } {
  if (!(error instanceof Error)) return { error: String(error) };
  // Our own refusals are told by their code, R2's errors by their words.
  return { error: "code" in error ? String(error.code) : `${error.name}: ${error.message}` };
}

async function described(value: unknown): Promise<unknown> {
  if (Array.isArray(value)) return Promise.all(value.map(described));
  if (value instanceof Uint8Array) return describedBytes(value);
  if (value instanceof ArrayBuffer) return { arrayBuffer: await describedBytes(new Uint8Array(value)) };
  if (value instanceof Blob) return { blob: value.type, bytes: await describedBytes(await value.bytes()) };
  if (isObject(value)) return describedObject(value);
  if (isList(value)) return describedList(value);
  return value;
}

/** By what every R2Object has and no plain answer does. */
function isObject(value: unknown): value is R2Object | R2ObjectBody {
  return typeof value === "object" && value !== null && "httpEtag" in value;
}

function isList(value: unknown): value is R2Objects {
  return typeof value === "object" && value !== null && "delimitedPrefixes" in value;
}

/** Cursors are opaque: of them only whether there is one. */
async function describedList(page: R2Objects): Promise<object> {
  const { objects, delimitedPrefixes, truncated } = page;
  const hasCursor = "cursor" in page && page.cursor !== undefined;
  return { objects: await Promise.all(objects.map(describedObject)), delimitedPrefixes, truncated, hasCursor };
}

async function describedBytes(bytes: Uint8Array): Promise<string> {
  const text = bytes.byteLength <= 64 ? toHex(bytes) : `md5 ${toHex(await crypto.subtle.digest("MD5", bytes))}`;
  return `${bytes.byteLength} bytes: ${text}`;
}

/**
 * All of an object but what differs by nature: `version` and `uploaded`, of which only the form is told, and
 * `storageClass`, which local R2 leaves empty. Its body is read to the end.
 */
async function describedObject(object: R2Object | R2ObjectBody): Promise<unknown> {
  const headers = new Headers({ "cache-control": "what was there before" });
  object.writeHttpMetadata(headers);
  const { key, size, etag, httpEtag, range, httpMetadata, customMetadata, checksums, version, uploaded } = object;
  const digests = CHECKSUM_ALGORITHMS.flatMap((name) => {
    const digest = checksums[name];
    return digest === undefined ? [] : [[name, toHex(digest)]];
  });
  return {
    ...{ key, size, etag, httpEtag, range, httpMetadata, customMetadata },
    checksums: [checksums.toJSON(), Object.fromEntries(digests)],
    headers: [...headers],
    forms: [typeof version, version.length > 0, uploaded instanceof Date, Number.isNaN(uploaded.getTime())],
    ...("body" in object && (await describedBody(object))),
  };
}

async function describedBody(object: R2ObjectBody): Promise<object> {
  const before = object.bodyUsed;
  if (before) return { bodyUsed: true };
  const bytes = await object.bytes();
  return { bodyUsed: [before, object.bodyUsed], body: await describedBytes(bytes) };
}
