/**
 * One list out of two: what R2 holds, and what is queued. Pure: it says line by line what is listed, and which lines
 * cannot be decided without another look.
 */
import { compareKeys, lastKeyBelow } from "../shared/key-order";
import { RESERVED_PREFIX } from "../shared/keys";
import type { PendingInReply } from "../shared/protocol";
import { fingerprintOf } from "./ledger";
import type { Included } from "./list-options";

/** The keys below `prefix` and after `after`, grouped by `delimiter` unless that is empty. */
export interface ListRange {
  readonly prefix: string;
  readonly delimiter: string;
  readonly after: string;
}

/** A line of a list. */
export type Entry =
  | { readonly kind: "object"; readonly name: string; readonly object: R2Object }
  | { readonly kind: "prefix"; readonly name: string };

/** Entries of R2's in their order. They are all that R2 has up to `until`; null: all there are. */
export interface R2Page {
  readonly entries: readonly Entry[];
  readonly until: string | null;
  /** R2's cursor for what comes after `until`. */
  readonly cursor: string | null;
}

export type PendingItem = PendingInReply["items"][number] & Pick<PendingInReply, "clockOffsetMs">;

/** Queued writes in the order of their keys, known up to `until`; null: all there are. */
export interface KnownPending {
  readonly items: readonly PendingItem[];
  readonly until: string | null;
}

export type Verdict =
  /** Listed as R2 has it. */
  | Entry
  /** A queued put is the object. */
  | { readonly kind: "queued"; readonly item: PendingItem }
  /** R2 holds something that may be a direct write from after the queued one. */
  | { readonly kind: "contested"; readonly item: PendingItem }
  /** A delimited prefix of which only hidden keys are known: is there another one below? */
  | { readonly kind: "veiled"; readonly name: string };

export interface Merged {
  readonly verdicts: readonly Verdict[];
  /** All is decided up to here; null: to the end. */
  readonly until: string | null;
}

/** A page of R2's answer to a list of the keys after `after`. */
export function pageOf({ objects, delimitedPrefixes, ...end }: R2Objects, after: string): R2Page {
  const entries: Entry[] = [];
  const listed = objects.map((object): Entry => ({ kind: "object", name: object.key, object }));
  const prefixes = delimitedPrefixes.map((name): Entry => ({ kind: "prefix", name }));
  zip(listed, prefixes, (_, object, prefix) => {
    if (object !== undefined) entries.push(object);
    if (prefix !== undefined) entries.push(prefix);
  });
  if (!end.truncated) return { entries, until: null, cursor: null };
  const last = entries.at(-1);
  return { entries, until: last === undefined ? after : endOf(last), cursor: end.cursor };
}

/** The last key that an entry can stand for. */
export function endOf({ kind, name }: Pick<Entry, "kind" | "name">): string {
  return kind === "prefix" ? lastKeyBelow(name) : name;
}

/** Both in one order, as far as both are known. */
export function mergeEntries(range: ListRange, page: R2Page, pending: KnownPending, include: Included): Merged {
  const pendingUntil = pending.until === null ? null : endOf(lineOf(range, pending.until));
  const until = earlier(page.until, pendingUntil);
  // An empty page decides nothing, not even a prefix that the range begins in the middle of.
  if (until !== null && compareKeys(until, range.after) <= 0) return { verdicts: [], until };
  const isKnown = (name: string) => until === null || compareKeys(name, until) <= 0;
  const verdicts: Verdict[] = [];
  zip(page.entries, pendingLines(range, pending.items), (name, entry, queued) => {
    if (!isKnown(name) || name.startsWith(RESERVED_PREFIX)) return;
    const isObject = (entry ?? queued)?.kind === "object";
    const verdict = isObject
      ? verdictOnObject(entry, queued, include)
      : verdictOnPrefix(name, entry, queued, pending.until);
    if (verdict !== null) verdicts.push(verdict);
  });
  return { verdicts, until };
}

/** Whether anything that R2 lists after a key may turn out to be hidden. */
export function mayHideAfter(key: string, prefix: string, pending: KnownPending): boolean {
  if (pending.until !== null) return true;
  if (touchesReserved(prefix) && compareKeys(key, lastKeyBelow(RESERVED_PREFIX)) < 0) return true;
  return pending.items.some(({ kind, stored }) => kind === "delete" && compareKeys(stored.key, key) > 0);
}

/** Whether keys below the prefix, or the delimited prefix itself, can be reserved ones. */
export function touchesReserved(prefix: string): boolean {
  return RESERVED_PREFIX.startsWith(prefix) || prefix.startsWith(RESERVED_PREFIX);
}

/** Queued writes that share a line of the list: one object, or all that is known below a delimited prefix. */
interface PendingLine {
  readonly kind: Entry["kind"];
  readonly name: string;
  readonly items: PendingItem[];
}

function pendingLines(range: ListRange, items: readonly PendingItem[]): PendingLine[] {
  const lines: PendingLine[] = [];
  for (const item of items) {
    const { key } = item.stored;
    if (key.startsWith(RESERVED_PREFIX)) continue;
    const last = lines.at(-1);
    const line = lineOf(range, key);
    if (last?.name === line.name) last.items.push(item);
    else lines.push({ ...line, items: [item] });
  }
  return lines;
}

/** The line that a key is listed under. */
function lineOf({ prefix, delimiter }: ListRange, key: string): Pick<Entry, "kind" | "name"> {
  const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
  return at < 0 ? { kind: "object", name: key } : { kind: "prefix", name: key.slice(0, at + delimiter.length) };
}

function verdictOnObject(entry: Entry | undefined, queued: PendingLine | undefined, include: Included): Verdict | null {
  const item = queued?.items[0];
  if (item === undefined) return entry ?? null;
  if (entry?.kind === "object" && wasUploadedAfter(item, entry.object)) {
    // The same to whoever lists: most likely the queued write itself, just drained.
    const isSame = item.kind === "put" && looksLike(item, entry.object, include);
    return isSame ? entry : { kind: "contested", item };
  }
  return item.kind === "put" ? { kind: "queued", item } : null;
}

/** What is queued below the prefix is known up to `until`; null: all of it. */
function verdictOnPrefix(
  name: string,
  entry: Entry | undefined,
  queued: PendingLine | undefined,
  until: string | null,
): Verdict | null {
  if (queued?.items.some(({ kind }) => kind === "put")) return { kind: "prefix", name };
  if (entry === undefined) {
    const isWhole = until === null || compareKeys(lastKeyBelow(name), until) <= 0;
    return isWhole ? null : { kind: "veiled", name };
  }
  return queued === undefined && !touchesReserved(name) ? entry : { kind: "veiled", name };
}

/** Only then can the object be newer than the queued write. */
function wasUploadedAfter({ fenceAt, clockOffsetMs }: PendingItem, object: R2Object): boolean {
  return object.uploaded.getTime() - clockOffsetMs >= fenceAt;
}

type Metadata = Pick<Partial<R2Object>, "httpMetadata"> & {
  readonly customMetadata?: Readonly<Record<string, string>>;
};

function looksLike({ stored, metadata }: PendingItem, object: R2Object, include: Included): boolean {
  const shown = ({ etag, size }: Pick<R2Object, "etag" | "size">, of: Metadata | null) =>
    fingerprintOf({
      etag,
      size,
      httpMetadata: include.http ? of?.httpMetadata : undefined,
      customMetadata: include.custom ? of?.customMetadata : undefined,
    });
  return shown(stored, metadata) === shown(object, object);
}

function earlier(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return compareKeys(a, b) <= 0 ? a : b;
}

/** Walks two sorted lists as one: `visit` gets what has the same name side by side. */
function zip<A extends { name: string }, B extends { name: string }>(
  left: readonly A[],
  right: readonly B[],
  visit: (name: string, a: A | undefined, b: B | undefined) => void,
): void {
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [left[i], right[j]];
    if (a === undefined && b === undefined) return;
    const order = a === undefined ? 1 : b === undefined ? -1 : compareKeys(a.name, b.name);
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
    visit((order <= 0 ? a : b)?.name ?? "", order <= 0 ? a : undefined, order >= 0 ? b : undefined);
  }
}
