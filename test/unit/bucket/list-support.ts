/** R2 and the queue for tests of lists: plain data, and the simplest list that can be made of it. */
import type { ListRange, PendingItem } from "../../../src/bucket/list-merge";
import type { PutMetadata } from "../../../src/shared/protocol";

export const FENCE = 1_000;

export const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** What R2 holds: `uploaded` before or after the fence of the queued writes. */
export function inR2(key: string, change: Partial<R2Object> = {}): R2Object {
  return { key, version: "1", size: 1, etag: "r2", uploaded: new Date(FENCE - 1), ...change } as R2Object;
}

export const PLAIN: PutMetadata = {
  httpMetadata: {},
  customMetadata: {},
  checksum: null,
  storageClass: null,
  ssecKey: null,
};

export function queued(kind: "put" | "delete", key: string, metadata = PLAIN): PendingItem {
  return {
    kind,
    metadata: kind === "put" ? metadata : null,
    fenceAt: FENCE,
    firstCallAt: null,
    clockOffsetMs: 0,
    stored: {
      operationId: `0-00000000-${key}`,
      status: "PENDING",
      key,
      size: 5,
      etag: kind === "put" ? "queued" : "",
      checksums: {},
      enqueuedAt: FENCE - 1,
    },
  };
}

/** The lines of a list, as `a` or `a/…` for a delimited prefix, by the definition of a list. */
export function linesOf(keys: Iterable<string>, { prefix, delimiter, after }: ListRange): string[] {
  const lines = new Set<string>();
  for (const key of [...keys].sort(byBytes)) {
    if (!key.startsWith(prefix) || byBytes(key, after) <= 0) continue;
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    lines.add(at < 0 ? key : `${key.slice(0, at + delimiter.length)}…`);
  }
  return [...lines];
}
