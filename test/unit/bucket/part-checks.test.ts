import { expect, test } from "vitest";
import { checkPartNumber, namedParts } from "../../../src/bucket/part-checks";

// What R2 says of the same values is met in test/worker/multipart/three-ways.test.ts.

test.each([
  [1, 1],
  [10_000, 10_000],
  [1.9, 1],
  ["7" as unknown as number, 7],
])("the part number %j is read as %i", (given, number) => {
  expect(checkPartNumber(given)).toBe(number);
});

test.each([
  [0, /Actual value was: 0$/],
  [-3, /Actual value was: -3$/],
  [10_001, /Actual value was: 10001$/],
  [Number.NaN, /Actual value was: 0$/],
  [2 ** 31, /^Value out of range/],
  [-(2 ** 31) - 1, /^Value out of range/],
])("the part number %j is refused with R2's TypeError", (given, message) => {
  expect(() => checkPartNumber(given)).toThrow(TypeError);
  expect(() => checkPartNumber(given)).toThrow(message);
});

test("a completion names parts in the caller's order, whatever else their objects hold", () => {
  const parts = [
    { partNumber: 2, etag: "b", more: 1 },
    { partNumber: 1, etag: "a" },
  ];
  expect(namedParts(parts)).toEqual([
    { partNumber: 2, etag: "b" },
    { partNumber: 1, etag: "a" },
  ]);
});

test("a part that is named twice is the caller's fault, found before R2 is asked", () => {
  const part = { partNumber: 1, etag: "a" };
  expect(() => namedParts([part, { ...part, etag: "b" }])).toThrow(/\(10001\)$/);
});
