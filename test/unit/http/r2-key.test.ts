import { expect, test } from "vitest";
import { objectKey } from "../../../src/http/r2-key";

const bytes = (count: number) => "k".repeat(count);

test.each([
  ["a plain key", "notes.txt", "notes.txt"],
  ["slashes, doubled and at the end", "a//b/", "a//b/"],
  ["an escaped slash", "a%2Fb", "a/b"],
  ["dot segments with escaped slashes", "a%2F..%2Fb", "a/../b"],
  ["a question mark and a hash", "a%3Fb%23c", "a?b#c"],
  ["a plus, which is no space here", "a+b", "a+b"],
  ["a space", "a%20b", "a b"],
  ["letters beyond ASCII", "%C3%A9%E4%B8%96", "é世"],
  ["four bytes of UTF-8", "%F0%9F%92%BE", "💾"],
  ["a combining mark, not composed", "e%CC%81", "e\u0301"],
  ["an escape of an escape, decoded once", "%252F", "%2F"],
  ["1,024 bytes", bytes(1_024), bytes(1_024)],
  ["a name that only begins like ours", ".r2-failover", ".r2-failover"],
])("a key with %s comes out as it was meant", (_, escaped, key) => {
  expect(objectKey(escaped)).toBe(key);
});

test.each([
  ["empty", "", /empty/],
  ["1,025 bytes", bytes(1_025), /1025 bytes/],
  ["1,025 bytes in fewer characters", `${"%C3%A9".repeat(512)}k`, /1025 bytes/],
  ["a broken escape", "a%zz", /percent escape/],
  ["an escape cut short", "a%2", /percent escape/],
  ["bytes that are no UTF-8", "%ff%fe", /percent escape/],
  ["an encoded surrogate", "%ED%A0%80", /percent escape/],
  ["our own prefix", ".r2-failover/canary-1", /reserved/],
  ["our own prefix, escaped", "%2Er2-failover%2Fcanary-1", /reserved/],
])("a key that is %s is refused with INVALID_REQUEST and says why", (_, escaped, why) => {
  expect(() => objectKey(escaped)).toThrow(
    expect.objectContaining({ code: "INVALID_REQUEST", message: expect.stringMatching(why) }),
  );
});
