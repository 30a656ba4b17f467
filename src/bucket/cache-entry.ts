/** An object as the read cache keeps it: its body is the response's, all else is one header. Pure. */
import type { ObjectFacts } from "./made-object";

export interface CacheEntry {
  readonly facts: ObjectFacts;
  /** When it was read from R2, epoch ms. */
  readonly readAt: number;
}

/** Nothing is served that is older than this, s: so long may a deleted object be seen at the most. */
const MAX_AGE_S = 86_400;
const HEADER = "x-r2-failover-entry";

/** What the cache knows an object by. The key stands in the query: in a path the URL standard would resolve its dots. */
export function cacheUrl(service: string, key: string): string {
  return `https://r2-failover.invalid/1?${new URLSearchParams({ service, key })}`;
}

export function entryHeaders(object: R2Object, readAt: number): Record<string, string> {
  const { key, version, size, etag, storageClass } = object;
  const facts: ObjectFacts = {
    ...{ key, version, size, etag, storageClass },
    uploaded: object.uploaded.getTime(),
    checksums: object.checksums.toJSON(),
    httpMetadata: object.httpMetadata ?? {},
    customMetadata: object.customMetadata ?? {},
  };
  const text = JSON.stringify({ facts, readAt } satisfies CacheEntry);
  return { "cache-control": `max-age=${MAX_AGE_S}`, [HEADER]: ascii(text) };
}

/** What `entryHeaders` wrote, or null when the headers are somebody else's. */
export function parseEntry(headers: Headers): CacheEntry | null {
  const text = headers.get(HEADER);
  if (text === null) return null;
  const { facts, readAt }: CacheEntry = JSON.parse(text);
  const { cacheExpiry, ...httpMetadata } = facts.httpMetadata;
  // JSON has no dates.
  const dates = cacheExpiry === undefined ? {} : { cacheExpiry: new Date(cacheExpiry) };
  return { facts: { ...facts, httpMetadata: { ...httpMetadata, ...dates } }, readAt };
}

/** Headers hold no other characters. */
function ascii(json: string): string {
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
