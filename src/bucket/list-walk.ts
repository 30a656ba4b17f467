/** Walks along R2's list and the queued writes until a page is full. Pure: `ListSources` does the asking. */
import {
  type Entry,
  type KnownPending,
  type ListRange,
  mayHideAfter,
  mergeEntries,
  type PendingItem,
  type R2Page,
  type Verdict,
} from "./list-merge";
import type { Included } from "./list-options";
import type { PendingWalk } from "./pending-walk";

const MAX_PAGE = 1_000;
/** Of a few lines more R2 costs nothing more; of a second call it does. */
const MIN_PAGE = 50;

/** Where R2 is to begin: at a cursor of its own, or after a key. */
export interface PageStart {
  readonly cursor: string | null;
  readonly startAfter: string;
}

export interface ListSources {
  readonly include: Included;
  readonly pending: PendingWalk;
  /** The next of R2's entries, at most `limit`. */
  page(range: ListRange, start: PageStart, limit: number): Promise<R2Page>;
  /** The object that a queued put will be. Null: it cannot be told. */
  queued(item: PendingItem): R2Object | null;
  /** Looks anew at a key on which R2 may have a later write than the queue. Null: there is no object. */
  decide(item: PendingItem): Promise<R2Object | null>;
}

export interface Walked {
  readonly entries: readonly Entry[];
  /** There are more entries after the last one. */
  readonly isTruncated: boolean;
}

/**
 * The first `limit` entries of a range. The queue is asked first and then R2, all along: the other way round, a drain in
 * between would leave R2's list from before and a queue from after it.
 */
export async function walkList(
  sources: ListSources,
  range: ListRange,
  limit: number,
  start: PageStart,
): Promise<Walked> {
  const { pending, include } = sources;
  const entries: Entry[] = [];
  let rest = range;
  let from: PageStart = start;
  for (;;) {
    await pending.reach(rest.after);
    const known = pending.known(rest);
    const page = await sources.page(rest, from, pageLimit(limit - entries.length, known));
    const { verdicts, until } = mergeEntries(rest, page, known, include);
    for (const verdict of verdicts) {
      const decided = entryOf(sources, rest, verdict);
      // Almost all are: a thousand awaits would be felt.
      const entry = decided instanceof Promise ? await decided : decided;
      if (entry === null) continue;
      if (entries.length === limit) return { entries, isTruncated: true };
      entries.push(entry);
    }
    if (until === null) return { entries, isTruncated: false };
    const isOfR2 = until === page.until;
    if (entries.length === limit && isOfR2 && !mayHideAfter(until, range.prefix, known)) {
      return { entries, isTruncated: true };
    }
    from = isOfR2 && page.cursor !== null ? { ...from, cursor: page.cursor } : { cursor: null, startAfter: until };
    rest = { ...rest, after: until };
  }
}

/** So many that hidden ones among them leave enough, and one more, to know whether there are more. */
function pageLimit(wanted: number, { items }: KnownPending): number {
  const hidden = items.filter(({ kind }) => kind === "delete").length;
  return Math.min(Math.max(wanted + hidden + 1, MIN_PAGE), MAX_PAGE);
}

function entryOf(sources: ListSources, range: ListRange, verdict: Verdict): Entry | null | Promise<Entry | null> {
  switch (verdict.kind) {
    case "object":
    case "prefix":
      return verdict;
    case "queued":
      return objectEntry(sources.queued(verdict.item));
    case "contested":
      return sources.decide(verdict.item).then(objectEntry);
    case "veiled":
      return unveiled(sources, range, verdict.name);
  }
}

/** The delimited prefix, if anything below it is to be listed. */
async function unveiled(sources: ListSources, { after }: ListRange, name: string): Promise<Entry | null> {
  const below = { prefix: name, delimiter: "", after };
  const { isTruncated } = await walkList(sources, below, 0, { cursor: null, startAfter: after });
  return isTruncated ? { kind: "prefix", name } : null;
}

function objectEntry(object: R2Object | null): Entry | null {
  return object === null ? null : { kind: "object", name: object.key, object };
}
