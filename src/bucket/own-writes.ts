/**
 * The latest direct writes of this isolate, by key. Should the next write of a key be queued, the queue is told what it
 * came after: two clocks that differ by a few milliseconds could otherwise take the older write for a newer one.
 */

/** A queued write that came so shortly after an own one may as well have come before it: clocks differ. */
const CLOCK_DOUBT_MS = 1_000;
/** Clocks that differ by more than this are out of order in ways that nobody repairs. */
const KEPT_MS = 60_000;
const MAX_KEYS = 1_000;

interface OwnWrite {
  readonly version: string;
  readonly at: number;
  /** False: this isolate has queued or deleted since. */
  readonly isLast: boolean;
}

/** Oldest first: a Map keeps the order in which its keys came. */
export type OwnWrites = Map<string, OwnWrite>;

export function rememberOwnWrite(writes: OwnWrites, key: string, version: string, now: number): void {
  writes.delete(key);
  writes.set(key, { version, at: now, isLast: true });
  if (writes.size <= MAX_KEYS) return;
  for (const oldest of writes.keys()) {
    writes.delete(oldest);
    return;
  }
}

/** The R2 version that this isolate wrote last, if it was lately. */
export function ownWrite(writes: OwnWrites, key: string, now: number): string | null {
  const write = writes.get(key);
  return write !== undefined && now - write.at <= KEPT_MS ? write.version : null;
}

/** This isolate has queued a write of the key, or deleted it. */
export function followOwnWrite(writes: OwnWrites, key: string): void {
  const write = writes.get(key);
  if (write !== undefined) writes.set(key, { ...write, isLast: false });
}

/** Whether the last that this isolate wrote is in R2, and may be later than an operation that was queued at `enqueuedAt`. */
export function mayBeLater(writes: OwnWrites, key: string, enqueuedAt: number, now: number): boolean {
  const write = writes.get(key);
  if (write === undefined || !write.isLast || now - write.at > KEPT_MS) return false;
  return enqueuedAt <= write.at + CLOCK_DOUBT_MS;
}
