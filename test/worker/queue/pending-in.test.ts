/** What a shard answers a list: the logical state of a range of keys, as R2 would order them. */
import { beforeAll, describe, expect, test } from "vitest";
import type { PendingRange } from "../../../src/shared/protocol";
import { deleteRequest, ended, PLAIN, pause, putRequest, resume, shard, start, stored, text } from "./support";

beforeAll(async () => {
  await start();
});

const put = async (n: number, key: string, clientPart = "1", metadata = PLAIN) =>
  stored(await shard(n).enqueue(putRequest(key, clientPart, { metadata }), text(`${key} ${clientPart}`)));
const remove = async (n: number, key: string) => stored(await shard(n).enqueue(deleteRequest(key, "gone"), null));

const pendingIn = (n: number, range: Partial<PendingRange> = {}) =>
  shard(n).pendingIn({ prefix: "", after: "", limit: 1_000, ...range });
const keysIn = async (n: number, range: Partial<PendingRange> = {}) =>
  (await pendingIn(n, range)).items.map(({ stored: { key } }) => key);

describe("a range of pending keys", () => {
  const KEYS = ["a", "a\0", "a/", "a/1", "a/\u{10ffff}", "a0", "ab", "Ä", "é/1", "\uffff", "💾"];

  beforeAll(async () => {
    await pause();
    for (const key of KEYS.toReversed()) await put(1, key);
  });

  test.each<[string, Partial<PendingRange>, string[]]>([
    ["is all of them, in the order of their bytes", {}, KEYS],
    ["begins after a key", { after: "a/1" }, KEYS.slice(4)],
    ["begins after a key that is not there", { after: "a/2" }, KEYS.slice(4)],
    ["begins right after a key", { after: "a" }, KEYS.slice(1)],
    ["is below a prefix", { prefix: "a/" }, ["a/", "a/1", "a/\u{10ffff}"]],
    ["is below a prefix and after a key", { prefix: "a/", after: "a/" }, ["a/1", "a/\u{10ffff}"]],
    ["is below a prefix that comes after the key", { prefix: "é", after: "a" }, ["é/1"]],
    ["is empty where the key comes after the prefix", { prefix: "a/", after: "b" }, []],
    ["is below no prefix in particular", { prefix: "%" }, []],
  ])("%s", async (_, range, expected) => {
    expect(await keysIn(1, range)).toEqual(expected);
  });

  test("goes page by page", async () => {
    const pages: string[][] = [];
    for (let after: string | undefined = ""; after !== undefined; ) {
      const { items, isTruncated } = await pendingIn(1, { after, limit: 4 });
      pages.push(items.map(({ stored: { key } }) => key));
      after = isTruncated ? items.at(-1)?.stored.key : undefined;
    }
    expect(pages).toEqual([KEYS.slice(0, 4), KEYS.slice(4, 8), KEYS.slice(8)]);
  });

  test("is not cut short where it ends with the page", async () => {
    expect(await pendingIn(1, { limit: KEYS.length })).toMatchObject({ isTruncated: false });
    expect(await pendingIn(1, { limit: KEYS.length - 1 })).toMatchObject({ isTruncated: true });
  });

  test("ends early where its metadata would be too much for one answer", async () => {
    const large = { ...PLAIN, httpMetadata: { contentDisposition: "x".repeat(1_000_000) } };
    for (let at = 10; at < 22; at += 1) await put(2, `large-${at}`, "1", large);
    const first = await pendingIn(2);
    expect(first.items.length).toBeLessThan(12);
    expect(first.isTruncated).toBe(true);
    const rest = await pendingIn(2, { after: first.items.at(-1)?.stored.key ?? "" });
    expect(first.items.length + rest.items.length).toBe(12);
    expect(rest.isTruncated).toBe(false);
  });
});

describe("the state of a key", () => {
  test("is its newest operation that has not ended", async () => {
    await pause();
    await put(3, "twice", "1");
    const second = await put(3, "twice", "2");
    await put(3, "deleted");
    const deleted = await remove(3, "deleted");
    const { items, shard: view } = await pendingIn(3);
    expect(items.map((item) => [item.kind, item.stored])).toEqual([
      ["delete", deleted],
      ["put", second],
    ]);
    expect(view).toMatchObject({ shard: 3, busy: expect.any(Array) });
  });

  test("is told as `peek` tells it, without the payload", async () => {
    await pause();
    const metadata = { ...PLAIN, httpMetadata: { cacheExpiry: new Date(0) }, customMetadata: { a: "ä" } };
    await put(4, "told", "1", metadata);
    const { pending } = await shard(4).peek("told");
    const { inline, ...others } = pending ?? expect.fail("nothing is pending");
    expect(inline).not.toBeNull();
    const { items } = await pendingIn(4);
    expect(items).toEqual([others]);
    expect(items[0]?.metadata).toEqual(metadata);
  });

  test("is R2's when the queue has nothing more to say", async () => {
    await pause();
    const { operationId } = await put(5, "drained");
    expect(await keysIn(5)).toEqual(["drained"]);
    await resume();
    expect(await ended(5, operationId)).toMatchObject({ status: "COMPLETED" });
    expect(await pendingIn(5)).toMatchObject({ items: [], isTruncated: false });
  });
});
