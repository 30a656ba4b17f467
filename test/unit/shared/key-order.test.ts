import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareKeys, keyBefore, lastKeyBelow, laterKey } from "../../../src/shared/key-order";

const bytes = (text: string) => Buffer.from(text);
const keys = fc.string({
  unit: fc.constantFrom("a", "b", "/", "\0", "é", "\ud7ff", "\ue000", "\uffff", "💾", "\u{10ffff}"),
});

test.each([
  ["a", "b"],
  ["a", "aa"],
  ["a/z", "a0"],
  ["Z", "a"],
  ["\uffff", "💾"],
  ["\ue000", "\u{10000}"],
  ["a\ud7ff", "a\ue000"],
])("%j comes before %j", (first, second) => {
  expect(compareKeys(first, second)).toBeLessThan(0);
  expect(compareKeys(second, first)).toBeGreaterThan(0);
  expect(laterKey(first, second)).toBe(second);
  expect(laterKey(second, first)).toBe(second);
});

test("keys are in the order of their bytes", () => {
  fc.assert(
    fc.property(keys, keys, (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(Buffer.compare(bytes(a), bytes(b))));
    }),
  );
});

describe("the last key below a prefix", () => {
  test("is after all that begin with it, and before all others that come after it", () => {
    fc.assert(
      fc.property(keys, keys, (prefix, key) => {
        const isPast = compareKeys(key, lastKeyBelow(prefix)) > 0;
        expect(isPast).toBe(!key.startsWith(prefix) && compareKeys(key, prefix) > 0);
      }),
    );
  });

  test.each(["", "a/", "é", "💾", "k".repeat(1_023), "k".repeat(1_022), "k".repeat(1_024)])(
    "is a key of 1,024 bytes: below %j",
    (prefix) => {
      expect(bytes(lastKeyBelow(prefix))).toHaveLength(1_024);
    },
  );
});

test("the key before another is before it, and nothing is between them", () => {
  fc.assert(
    fc.property(
      keys.filter((key) => key !== ""),
      keys,
      (key, other) => {
        const before = keyBefore(key);
        expect(compareKeys(before, key)).toBeLessThan(0);
        expect(compareKeys(other, before) <= 0 || compareKeys(other, key) >= 0).toBe(true);
      },
    ),
  );
});
