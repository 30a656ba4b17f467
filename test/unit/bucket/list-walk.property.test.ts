/**
 * A list by pages, over an R2 that gives pages as short as it likes, shards that answer by a few items, and a drain that
 * goes on at every await. A drain changes no key's logical state: the pages must be those of the simplest list of it.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { endOf, type ListRange, type PendingItem, pageOf } from "../../../src/bucket/list-merge";
import { type ListSources, type PageStart, walkList } from "../../../src/bucket/list-walk";
import { PendingWalk } from "../../../src/bucket/pending-walk";
import { compareKeys } from "../../../src/shared/key-order";
import { RESERVED_PREFIX } from "../../../src/shared/keys";
import { byBytes, FENCE, inR2, linesOf, queued } from "./list-support";

const NEWER = new Date(FENCE + 1);
const SHARDS = 3;

/** What became of a key: `newer` are direct writes from after a queued one. */
type Fate = "stored" | "put" | "overwritten" | "deleted" | "delete_of_nothing" | "newer_than_put" | "newer_than_delete";

interface Case {
  readonly fates: readonly (readonly [string, Fate])[];
  readonly range: ListRange;
  readonly limit: number;
  readonly shardPage: number;
  /** Drawn from at every await. */
  readonly chances: readonly number[];
}

/** R2 and the shards of a case, while a drain goes on. */
class Service {
  readonly r2 = new Map<string, R2Object>();
  readonly queue = new Map<string, PendingItem>();
  readonly logical = new Set<string>();
  #chance = 0;
  #wasEmpty = false;

  constructor(private readonly of: Case) {
    for (const [key, fate] of of.fates) {
      const isReserved = key.startsWith(RESERVED_PREFIX);
      if (fate !== "put" && fate !== "delete_of_nothing") {
        this.r2.set(key, fate.startsWith("newer") ? inR2(key, { uploaded: NEWER, etag: "direct" }) : inR2(key));
      }
      if (fate !== "stored") this.queue.set(key, queued(/delete/.test(fate) ? "delete" : "put", key));
      if (!isReserved && !["deleted", "delete_of_nothing"].includes(fate)) this.logical.add(key);
    }
  }

  draw(below: number): number {
    this.#chance += 1;
    return (this.of.chances[this.#chance % this.of.chances.length] ?? 0) % below;
  }

  /** Some operations end, as the drain ends them. */
  drain(): void {
    for (const [key, item] of this.queue) {
      if (this.draw(4) !== 0) continue;
      this.queue.delete(key);
      const seen = this.r2.get(key);
      if (seen !== undefined && seen.uploaded.getTime() >= item.fenceAt) continue;
      if (item.kind === "delete") this.r2.delete(key);
      else this.r2.set(key, inR2(key, { uploaded: NEWER, etag: item.stored.etag, size: item.stored.size }));
    }
  }

  /** As R2 lists: what is left of a delimited prefix after `startAfter` gives that prefix, a cursor skips it. */
  listR2({ prefix, delimiter }: ListRange, { cursor, startAfter }: PageStart, limit: number): R2Objects {
    const after = cursor !== null && byBytes(cursor, startAfter) > 0 ? cursor : startAfter;
    const lines = linesOf(this.r2.keys(), { prefix, delimiter, after });
    // It may be empty and not the last, but not for ever.
    const size = this.draw(8) || (this.#wasEmpty ? 1 : 0);
    const page = lines.slice(0, Math.min(limit, size));
    this.#wasEmpty = page.length === 0;
    const names = page.map((line) => (line.endsWith("…") ? line.slice(0, -1) : line));
    const found = {
      objects: page.flatMap((line) => this.r2.get(line) ?? []),
      delimitedPrefixes: page.flatMap((line, at) => (line.endsWith("…") ? [names[at] ?? ""] : [])),
    };
    if (page.length === lines.length) return { ...found, truncated: false };
    const last = names.at(-1);
    const kind = page.at(-1)?.endsWith("…") ? "prefix" : "object";
    return { ...found, truncated: true, cursor: last === undefined ? after : endOf({ kind, name: last }) };
  }

  sources(): ListSources {
    const pending = new PendingWalk([0, 1, 2], async (shard, after) => {
      this.drain();
      const items = [...this.queue.values()]
        .filter(({ stored: { key } }) => key.length % SHARDS === shard && key.startsWith(this.of.range.prefix))
        .filter(({ stored: { key } }) => byBytes(key, after) > 0)
        .sort((a, b) => byBytes(a.stored.key, b.stored.key));
      const { shardPage } = this.of;
      const view = { shard, epoch: 1, busy: "all" } as const;
      const reply = { shard: view, clockOffsetMs: 0, items: items.slice(0, shardPage) };
      return { ...reply, isTruncated: items.length > shardPage };
    });
    return {
      include: { http: false, custom: false },
      pending,
      page: async (range, start, limit) => {
        this.drain();
        return pageOf(this.listR2(range, start, limit), range.after);
      },
      queued: ({ stored: { key, etag } }) => inR2(key, { etag, uploaded: NEWER }),
      decide: async ({ stored: { key } }) => {
        this.drain();
        const [object, item] = [this.r2.get(key) ?? null, this.queue.get(key)];
        if (item === undefined || object?.uploaded === NEWER) return object;
        return item.kind === "put" ? inR2(key, { etag: item.stored.etag }) : null;
      },
    };
  }
}

const key = fc.string({
  unit: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom("a", "b", "/", "-") },
    { weight: 1, arbitrary: fc.constantFrom("é", "\ue000", "💾", ".", RESERVED_PREFIX, "\u{10ffff}") },
  ),
  minLength: 1,
  maxLength: 5,
});
const fate = fc.constantFrom<Fate>(
  ...(["stored", "stored", "put", "overwritten", "deleted", "deleted"] as const),
  ...(["delete_of_nothing", "newer_than_put", "newer_than_delete"] as const),
);
const cases: fc.Arbitrary<Case> = fc.record({
  fates: fc.uniqueArray(fc.tuple(key, fate), { selector: ([name]) => name, maxLength: 40, size: "max" }),
  range: fc.record({
    prefix: fc.oneof(fc.constant(""), fc.constantFrom("a", "a/", "b/a", ".", ".r2-", "é")),
    delimiter: fc.constantFrom("", "/", "-", "a/", "a"),
    after: fc.oneof(fc.constant(""), key),
  }),
  limit: fc.integer({ min: 1, max: 12 }),
  shardPage: fc.integer({ min: 1, max: 12 }),
  chances: fc.array(fc.nat(100), { minLength: 1, maxLength: 30 }),
});

const ETAGS: Partial<Record<Fate, string>> = {
  stored: "r2",
  put: "queued",
  overwritten: "queued",
  newer_than_put: "direct",
  newer_than_delete: "direct",
};

async function pagesOf(service: Service, { fates, range, limit }: Case): Promise<string[][]> {
  const etags = new Map(fates.map(([name, is]) => [name, ETAGS[is]]));
  const pages: string[][] = [];
  let rest = range;
  for (;;) {
    // As each page of a caller is a call of its own.
    const { entries, isTruncated } = await walkList(service.sources(), rest, limit, {
      cursor: null,
      startAfter: rest.after,
    });
    for (const entry of entries) {
      if (entry.kind === "object") expect([entry.name, entry.object.etag]).toEqual([entry.name, etags.get(entry.name)]);
    }
    pages.push(entries.map(({ kind, name }) => (kind === "prefix" ? `${name}…` : name)));
    const last = entries.at(-1);
    if (!isTruncated || last === undefined) return pages;
    rest = { ...rest, after: endOf(last) };
  }
}

function chunks(lines: readonly string[], size: number): string[][] {
  const pages: string[][] = [];
  for (let at = 0; at < lines.length; at += size) pages.push(lines.slice(at, at + size));
  return pages.length === 0 ? [[]] : pages;
}

test("pages, walked while a drain goes on, are those of the logical state", { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(cases, async (of) => {
      const service = new Service(of);
      const expected = chunks(linesOf(service.logical, of.range), of.limit);
      expect(await pagesOf(service, of)).toEqual(expected);
    }),
    { numRuns: 3_000 },
  );
});

test("queued writes are read from the shards that are not known far enough, and from no others", async () => {
  const asked: string[] = [];
  const items = { 0: ["a", "c", "e"], 1: ["b"] } as const;
  const walk = new PendingWalk([0, 1], async (shard, after) => {
    asked.push(`${shard} after ${after}`);
    const rest = items[shard as 0 | 1].filter((name) => compareKeys(name, after) > 0);
    const view = { shard, epoch: 1, busy: "all" } as const;
    const found = rest.slice(0, 2).map((name) => queued("put", name));
    return { shard: view, items: found, isTruncated: rest.length > 2, clockOffsetMs: 0 };
  });
  const known = (after: string) => {
    const { items: found, until } = walk.known({ prefix: "", delimiter: "", after });
    return [found.map(({ stored }) => stored.key).join(""), until];
  };
  await walk.reach("");
  expect(known("")).toEqual(["abc", "c"]);
  await walk.reach("b");
  expect(known("b")).toEqual(["c", "c"]);
  await walk.reach("c");
  expect(known("c")).toEqual(["e", null]);
  expect(asked).toEqual(["0 after ", "1 after ", "0 after c"]);
});
