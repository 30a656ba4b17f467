import { describe, expect, test } from "vitest";
import {
  type KnownPending,
  type ListRange,
  mayHideAfter,
  mergeEntries,
  type PendingItem,
  pageOf,
  type Verdict,
} from "../../../src/bucket/list-merge";
import type { Included } from "../../../src/bucket/list-options";
import { lastKeyBelow } from "../../../src/shared/key-order";
import { FENCE, inR2, PLAIN, queued } from "./list-support";

const ALL: ListRange = { prefix: "", delimiter: "", after: "" };
const FOLDERS: ListRange = { prefix: "", delimiter: "/", after: "" };
const NONE: Included = { http: false, custom: false };

const put = (key: string) => queued("put", key);
const remove = (key: string) => queued("delete", key);
const known = (items: PendingItem[], until: string | null = null): KnownPending => ({ items, until });

function page(objects: (string | R2Object)[], delimitedPrefixes: string[] = [], cursor?: string) {
  const found = { objects: objects.map((each) => (typeof each === "string" ? inR2(each) : each)), delimitedPrefixes };
  return pageOf(cursor === undefined ? { ...found, truncated: false } : { ...found, truncated: true, cursor }, "");
}

/** A verdict in short. */
function short(verdict: Verdict): string {
  switch (verdict.kind) {
    case "object":
    case "prefix":
      return verdict.name;
    case "veiled":
      return `veiled ${verdict.name}`;
    default:
      return `${verdict.kind} ${verdict.item.stored.key}`;
  }
}

const merge = (range: ListRange, r2: ReturnType<typeof page>, pending: KnownPending, include = NONE) =>
  mergeEntries(range, r2, pending, include).verdicts.map(short);

describe("without a delimiter", () => {
  test.each<[string, string[], PendingItem[], string[]]>([
    ["nothing is nothing", [], [], []],
    ["what R2 holds is listed", ["a", "b"], [], ["a", "b"]],
    ["a queued put is listed in its place", ["a", "c"], [put("b")], ["a", "queued b", "c"]],
    ["a queued put takes the place of what R2 holds", ["a", "b"], [put("b")], ["a", "queued b"]],
    ["what a queued delete will delete is hidden", ["a", "b", "c"], [remove("b")], ["a", "c"]],
    ["a queued delete of nothing hides nothing", ["a"], [remove("b")], ["a"]],
    ["bytes decide, not UTF-16", ["\uffff"], [put("💾"), put("😀")], ["\uffff", "queued 💾", "queued 😀"]],
    ["reserved keys are hidden", [".r2-failover/canary", "a"], [put(".r2-failover/x")], ["a"]],
    [
      "keys that only look reserved are not",
      [".r2-failover"],
      [put(".r2-failover0")],
      [".r2-failover", "queued .r2-failover0"],
    ],
  ])("%s", (_, r2, pending, expected) => {
    expect(merge(ALL, page(r2), known(pending))).toEqual(expected);
  });
});

describe("with a delimiter", () => {
  test.each<[string, string[], string[], PendingItem[], string[]]>([
    ["a queued put makes a delimited prefix", [], [], [put("a/1"), put("a/2"), put("b")], ["a/", "queued b"]],
    ["or is below one that is there", ["b"], ["a/"], [put("a/1")], ["a/", "b"]],
    [
      "objects and prefixes are in one order",
      ["a", "c"],
      ["b/"],
      [put("a/x"), put("bb")],
      ["a", "a/", "b/", "queued bb", "c"],
    ],
    ["a prefix may be all deleted: look below", ["b"], ["a/"], [remove("a/1")], ["veiled a/", "b"]],
    ["not if a put is queued below", [], ["a/"], [put("a/0"), remove("a/1")], ["a/"]],
    ["deletes alone make no prefix", ["b"], [], [remove("a/1")], ["b"]],
    ["a reserved prefix is hidden", [], [".r2-failover/", "a/"], [], ["a/"]],
  ])("%s", (_, r2, prefixes, pending, expected) => {
    expect(merge(FOLDERS, page(r2, prefixes), known(pending))).toEqual(expected);
  });

  test("a prefix that may hold reserved keys alone is looked into", () => {
    const range = { ...FOLDERS, delimiter: "-" };
    expect(merge(range, page([], [".r2-", "a-"]), known([]))).toEqual(["veiled .r2-", "a-"]);
    expect(merge(range, page([], [".r2-"]), known([put(".r2-x")]))).toEqual([".r2-"]);
  });

  test("counts only beyond the list's own prefix", () => {
    const range = { ...FOLDERS, prefix: "a/" };
    expect(merge(range, page(["a/"], ["a/b/"]), known([put("a/1"), put("a/c/1")]))).toEqual([
      "a/",
      "queued a/1",
      "a/b/",
      "a/c/",
    ]);
  });
});

describe("what R2 holds may be newer than the queued write", () => {
  const after = { uploaded: new Date(FENCE) };
  const other = { ...PLAIN, httpMetadata: { contentType: "text/x" }, customMetadata: { a: "1" } };
  const same = { ...after, etag: "queued", size: 5, httpMetadata: {}, customMetadata: {} };
  const both = { http: true, custom: true };

  test.each<[string, Partial<R2Object>, PendingItem, Included, string]>([
    ["not if it is from before the fence", {}, put("a"), NONE, "queued a"],
    ["if it is from after the fence", after, put("a"), NONE, "contested a"],
    ["if it is from after a queued delete", after, remove("a"), NONE, "contested a"],
    ["not if it is the very write, drained", same, put("a"), NONE, "a"],
    ["not if it is the very write, with its metadata", same, put("a"), both, "a"],
    ["nor if only metadata differs that nobody asked for", same, queued("put", "a", other), NONE, "a"],
    [
      "if HTTP metadata differs that is listed",
      same,
      queued("put", "a", other),
      { http: true, custom: false },
      "contested a",
    ],
    [
      "if custom metadata differs that is listed",
      same,
      queued("put", "a", other),
      { http: false, custom: true },
      "contested a",
    ],
    ["if only the size is the same", { ...after, size: 5 }, put("a"), NONE, "contested a"],
    ["by R2's clock, ahead", after, { ...put("a"), clockOffsetMs: 1 }, NONE, "queued a"],
    ["by R2's clock, behind", {}, { ...put("a"), clockOffsetMs: -1 }, NONE, "contested a"],
  ])("%s", (_, object, item, include, expected) => {
    expect(merge(ALL, page([inR2("a", object)]), known([item]), include)).toEqual([expected]);
  });
});

describe("only what both sides are known for is decided", () => {
  const until = (range: ListRange, r2: ReturnType<typeof page>, pending: KnownPending) => {
    const merged = mergeEntries(range, r2, pending, NONE);
    return [merged.verdicts.map(short), merged.until];
  };

  test.each<[string, ListRange, ReturnType<typeof page>, KnownPending, unknown]>([
    ["both to the end", ALL, page(["a"]), known([put("b")]), [["a", "queued b"], null]],
    ["R2 up to b", ALL, page(["a", "b"], [], "c1"), known([put("c")]), [["a", "b"], "b"]],
    ["the queue up to b", ALL, page(["a", "c"]), known([put("b")], "b"), [["a", "queued b"], "b"]],
    ["R2 first", ALL, page(["a"], [], "c1"), known([put("b")], "b"), [["a"], "a"]],
    ["the queue first", ALL, page(["a", "c"], [], "c1"), known([put("b")], "b"), [["a", "queued b"], "b"]],
    ["R2 up to the end of a prefix", FOLDERS, page([], ["a/"], "c1"), known([put("b")]), [["a/"], lastKeyBelow("a/")]],
    [
      "the queue up to somewhere below one",
      FOLDERS,
      page(["b"]),
      known([put("a/1")], "a/1"),
      [["a/"], lastKeyBelow("a/")],
    ],
    [
      "deletes up to there: a put may follow",
      FOLDERS,
      page(["b"]),
      known([remove("a/1")], "a/1"),
      [["veiled a/"], lastKeyBelow("a/")],
    ],
    ["R2's page is empty, and not the last", ALL, page([], [], "c1"), known([put("b")]), [[], ""]],
  ])("%s", (_, range, r2, pending, expected) => {
    expect(until(range, r2, pending)).toEqual(expected);
  });
});

describe("what R2 lists later", () => {
  test.each<[string, string, string, KnownPending, boolean]>([
    ["is to be seen", "m", "", known([put("z"), remove("a")]), false],
    ["may be deleted", "m", "", known([remove("z")]), true],
    ["may be deleted, for all that is known", "m", "", known([], "n"), true],
    ["may be reserved", "", "", known([]), true],
    ["may be reserved, below a prefix", ".a", ".r2", known([]), true],
    ["is past what is reserved", ".s", "", known([]), false],
    ["is below another prefix than what is reserved", "", "a", known([]), false],
  ])("%s", (_, key, prefix, pending, expected) => {
    expect(mayHideAfter(key, prefix, pending)).toBe(expected);
  });
});
