/** `delete` of one key and of many. */
import { anything, type Case, describeCases, describeDrain } from "../ways";

/** Deletes, and looks what is left of `a`, `b` and `c` below the case's own key. */
const deleting = (
  name: string,
  remove: (bucket: R2Bucket, key: (name: string) => string) => Promise<unknown>,
): Case => ({
  name,
  run: async (bucket, own) => {
    const key = (letter: string) => `${own}/${letter}`;
    for (const letter of ["a", "b", "c"]) await bucket.put(key(letter), letter);
    const answer = await remove(bucket, key);
    return [answer, ...(await Promise.all(["a", "b", "c"].map((letter) => bucket.get(key(letter)))))];
  },
});

describeCases("delete", [
  deleting("one key", (bucket, key) => bucket.delete(key("a"))),
  deleting("one key in a list", (bucket, key) => bucket.delete([key("b")])),
  deleting("several keys", (bucket, key) => bucket.delete([key("a"), key("c")])),
  deleting("the same key twice", (bucket, key) => bucket.delete([key("a"), key("a")])),
  deleting("no keys", (bucket) => bucket.delete([])),
  deleting("keys that hold nothing, and one that does", (bucket, key) => bucket.delete([key("x"), key("a"), key("y")])),
  deleting("twice", async (bucket, key) => [await bucket.delete(key("a")), await bucket.delete(key("a"))]),
  deleting("and write again", async (bucket, key) => {
    await bucket.delete(key("a"));
    return bucket.put(key("a"), "again");
  }),
  deleting("a key that holds nothing", (bucket, key) => bucket.delete(key("x"))),
  deleting("a number", (bucket) => bucket.delete(anything(123))),
  deleting("numbers", (bucket) => bucket.delete(anything([123, null]))),
  deleting("a set, which is no list", (bucket, key) => bucket.delete(anything(new Set([key("a")])))),
  deleting("a key of 1,024 bytes", (bucket) => bucket.delete("k".repeat(1_024))),
  deleting("a key of 1,025 bytes", (bucket) => bucket.delete("k".repeat(1_025))),
  deleting("a key of 1,025 bytes among others", (bucket, key) => bucket.delete([key("a"), "k".repeat(1_025)])),
  deleting("100 keys", (bucket, key) =>
    bucket.delete([key("a"), ...Array.from({ length: 99 }, (_, n) => key(`${n}`))]),
  ),
]);

describeDrain();
