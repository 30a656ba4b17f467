import type { Stale } from "../bucket/cached-object";
import type { ReadSource } from "../bucket/write-outcome";

const STALE_WARNING = '110 - "Response is Stale"';

/** The headers that describe an object: its etag, dates and stored metadata. Length and range are the answer's own. */
export function objectHeaders(object: R2Object & Partial<Stale>, source: ReadSource): Headers {
  const headers = new Headers({
    etag: object.httpEtag,
    "last-modified": object.uploaded.toUTCString(),
    "accept-ranges": "bytes",
    "x-failover-source": source,
  });
  if (object.ageMs !== undefined) {
    headers.set("age", String(Math.floor(object.ageMs / 1_000)));
    headers.set("warning", STALE_WARNING);
  }
  const stored = object.httpMetadata ?? {};
  trySet(headers, "content-type", stored.contentType ?? "application/octet-stream");
  trySet(headers, "content-language", stored.contentLanguage);
  trySet(headers, "content-disposition", stored.contentDisposition);
  trySet(headers, "content-encoding", stored.contentEncoding);
  trySet(headers, "cache-control", stored.cacheControl);
  trySet(headers, "expires", stored.cacheExpiry?.toUTCString());
  let missing = 0;
  for (const [name, value] of Object.entries(object.customMetadata ?? {})) {
    if (!trySet(headers, `x-amz-meta-${name}`, value)) missing += 1;
  }
  if (missing > 0) headers.set("x-amz-missing-meta", String(missing));
  return headers;
}

/** Metadata that came by the binding may hold what no header can: that is left out, and the object is still served. */
function trySet(headers: Headers, name: string, value: string | undefined): boolean {
  if (value === undefined) return true;
  try {
    headers.set(name, value);
    return true;
  } catch {
    return false;
  }
}

const CACHING = ["etag", "last-modified", "cache-control", "expires"] as const;

/** The headers of a 304: those that the 200 would have had and that caches need (RFC 9110 §15.4.5). */
export function notModifiedHeaders(full: Headers): Headers {
  const headers = new Headers();
  for (const name of [...CACHING, "x-failover-source", "age", "warning"]) {
    const value = full.get(name);
    if (value !== null) headers.set(name, value);
  }
  return headers;
}
