/** R2 objects made from what the read cache keeps. */
import type { CacheEntry } from "./cache-entry";
import { MadeObject, MadeObjectBody } from "./made-object";
import type { ByteRange } from "./ranges";

/** The mark of an object out of the read cache: R2 held it when it was read, and may hold another one, or none, now. */
export interface Stale {
  readonly stale: true;
  /** Ms since it was read from R2. */
  readonly ageMs: number;
}

export class CachedObject extends MadeObject implements Stale {
  readonly stale = true;
  readonly ageMs: number;

  constructor(entry: CacheEntry, now: number, range: ByteRange) {
    super(entry.facts, range);
    this.ageMs = Math.max(0, now - entry.readAt);
  }
}

export class CachedObjectBody extends MadeObjectBody implements Stale {
  readonly stale = true;
  readonly ageMs: number;

  constructor(
    entry: CacheEntry,
    now: number,
    range: ByteRange,
    body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  ) {
    super(entry.facts, range, body);
    this.ageMs = Math.max(0, now - entry.readAt);
  }
}
