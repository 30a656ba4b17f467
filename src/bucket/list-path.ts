/** Lists: R2's own while nothing is queued, else R2's and the queue's in one. */
import { compareKeys, keyBefore, lastKeyBelow, laterKey } from "../shared/key-order";
import { RESERVED_PREFIX } from "../shared/keys";
import { admit, mayAdmit } from "./admission";
import { decodeCursor, encodeCursor } from "./list-cursor";
import { type Entry, endOf, type R2Page, touchesReserved } from "./list-merge";
import { type ListOptions, type ListQuery, listQuery } from "./list-options";
import { isUnavailable, listR2, pageR2, SessionSources, shardsToAsk, unlistable } from "./list-sources";
import { type PageStart, type Walked, walkList } from "./list-walk";
import { prepare, type Session } from "./session";

/** `partial`: R2 could not be listed, and this is what is queued, alone. */
export type FailoverObjects = R2Objects & { readonly partial?: true };

/** `primary`: R2 alone. `merged`: R2 and the queue. `queue`: the queue alone, because R2 could not be listed. */
export type ListSource = "primary" | "merged" | "queue";

export interface Listing {
  readonly source: ListSource;
  readonly result: FailoverObjects;
}

type Options = (R2ListOptions & ListOptions) | undefined;

/** Lists objects. Rejects with R2's own errors on bad options, else with a `FailoverError`. */
export async function list(session: Session, options: Options): Promise<Listing> {
  await prepare(session, "read");
  if (options?.allowPartial !== true) refuseWhileOpen(session, options);
  const shards = await shardsToAsk(session);
  if (shards.length > 0) return listMerged(session, options, shards);
  let result: R2Objects;
  try {
    result = await listR2(session, nativeOptions(options));
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    listQuery(options);
    if (options?.allowPartial !== true) throw error;
    return nothingKnown();
  }
  if (showsReserved(result, options?.prefix)) return listMerged(session, options, []);
  return { source: "primary", result: result.truncated ? withCursor(result, options?.cursor) : result };
}

/** What R2 will not be asked for need not be asked of the queue. Bad options are refused as R2 does all the same. */
function refuseWhileOpen({ state }: Session, options: Options): void {
  const now = Date.now();
  if (mayAdmit(state, "read", now)) return;
  listQuery(options);
  const admission = admit(state, "read", now);
  if (!admission.admitted) throw unlistable(admission.retryAfter);
}

// ── R2 alone ────────────────────────────────────────────────────────────────────────────────────────────────────

/** R2 cannot be listed, and nothing is queued. */
function nothingKnown(): Listing {
  return { source: "queue", result: { objects: [], delimitedPrefixes: [], truncated: false, partial: true } };
}

/** The caller's options as they came, but for a cursor of ours, which R2 does not know. */
function nativeOptions(options: Options): R2ListOptions | undefined {
  const position = typeof options?.cursor === "string" ? decodeCursor(options.cursor) : null;
  if (position === null) return options;
  const { cursor: _ours, ...others } = options ?? {};
  if (position.native !== null) return { ...others, cursor: position.native };
  const { startAfter = "" } = others;
  // What is no string is R2's to refuse.
  return typeof startAfter === "string" ? { ...others, startAfter: laterKey(startAfter, endOf(position)) } : others;
}

/** R2's page as it is, but with a cursor that says where it ended: the next page may be asked for in an outage. */
function withCursor(result: R2Objects & { truncated: true }, previous: string | undefined): R2Objects {
  const { kind, name } = lastOf(result) ?? decodeCursor(previous ?? "") ?? { kind: "object", name: "" };
  return { ...result, cursor: encodeCursor({ kind, name, native: result.cursor }) };
}

function lastOf({ objects, delimitedPrefixes }: R2Objects): Pick<Entry, "kind" | "name"> | null {
  const [key, prefix] = [objects.at(-1)?.key, delimitedPrefixes.at(-1)];
  if (key !== undefined && (prefix === undefined || compareKeys(key, prefix) > 0)) return { kind: "object", name: key };
  return prefix === undefined ? null : { kind: "prefix", name: prefix };
}

/** Looks at the page's ends first: it is sorted, and a look at each of a thousand keys would be felt. */
function showsReserved({ objects, delimitedPrefixes }: R2Objects, prefix: string | undefined): boolean {
  if (!touchesReserved(prefix ?? "")) return false;
  if (delimitedPrefixes.some(touchesReserved)) return true;
  const [first = "", last = ""] = [objects[0]?.key, objects.at(-1)?.key];
  const mayShow = first.startsWith(RESERVED_PREFIX) || (first < RESERVED_PREFIX && last > RESERVED_PREFIX);
  return mayShow && objects.some(({ key }) => key.startsWith(RESERVED_PREFIX));
}

// ── R2 and the queue ────────────────────────────────────────────────────────────────────────────────────────────

async function listMerged(session: Session, options: Options, shards: readonly number[]): Promise<Listing> {
  const query = listQuery(options);
  const { prefix, delimiter, limit } = query;
  const { start, after } = await startOf(session, query);
  const sources = new SessionSources(session, query, shards, options?.allowPartial === true);
  const result = resultOf(await walkList(sources, { prefix, delimiter, after }, limit, start));
  if (sources.isPartial) return { source: "queue", result: { ...result, partial: true } };
  return { source: sources.pending.isEmpty ? "primary" : "merged", result };
}

/** Where R2 is to begin, and after which key the queue is. */
async function startOf(session: Session, query: ListQuery): Promise<{ start: PageStart; after: string }> {
  const { cursor, startAfter } = query;
  if (cursor === null) return { start: { cursor, startAfter }, after: startAfter };
  const position = decodeCursor(cursor);
  const after = laterKey(startAfter, position === null ? await placeOf(session, query, cursor) : endOf(position));
  const native = position?.native ?? null;
  return { start: native === null ? { cursor: null, startAfter: after } : { cursor: native, startAfter }, after };
}

/** A cursor of R2's own, got past FailoverBucket, tells its place only by what R2 lists next. */
async function placeOf(session: Session, { prefix, delimiter, startAfter }: ListQuery, first: string): Promise<string> {
  const range = { prefix, delimiter, after: startAfter };
  for (let cursor: string | null = first; cursor !== null; ) {
    const page: R2Page = await pageR2(session, range, { cursor, startAfter }, 1, { http: false, custom: false });
    const [next] = page.entries;
    if (next !== undefined) return keyBefore(next.name);
    cursor = page.cursor;
  }
  return lastKeyBelow(prefix);
}

function resultOf({ entries, isTruncated }: Walked): R2Objects {
  const objects: R2Object[] = [];
  const delimitedPrefixes: string[] = [];
  for (const entry of entries) {
    if (entry.kind === "object") objects.push(entry.object);
    else delimitedPrefixes.push(entry.name);
  }
  const last = entries.at(-1);
  if (!isTruncated || last === undefined) return { objects, delimitedPrefixes, truncated: false };
  const cursor = encodeCursor({ kind: last.kind, name: last.name, native: null });
  return { objects, delimitedPrefixes, truncated: true, cursor };
}
