import { describe, expect, test } from "vitest";
import { resolveRange } from "../../../src/bucket/ranges";

const UNSATISFIABLE = "get: The requested range is not satisfiable (10039)";

describe("a range as an object, over 10 bytes", () => {
  test.each<{ range: R2Range; is: [offset: number, length: number] }>([
    { range: { offset: 0 }, is: [0, 10] },
    { range: { offset: 3 }, is: [3, 7] },
    { range: { offset: 3, length: 2 }, is: [3, 2] },
    { range: { length: 4 }, is: [0, 4] },
    { range: { offset: 8, length: 100 }, is: [8, 2] },
    { range: { suffix: 3 }, is: [7, 3] },
    { range: { suffix: 100 }, is: [0, 10] },
  ])("$range", ({ range, is: [offset, length] }) => {
    expect(resolveRange(range, 10)).toEqual({ offset, length });
  });

  test.each<{ range: R2Range; error: Error }>([
    { range: { offset: 10 }, error: new Error(UNSATISFIABLE) },
    { range: { offset: 11, length: 1 }, error: new Error(UNSATISFIABLE) },
    { range: { offset: 1, length: 0 }, error: new Error(UNSATISFIABLE) },
    { range: { suffix: 0 }, error: new Error(UNSATISFIABLE) },
    {
      range: { offset: -1 },
      error: new RangeError("Invalid range. Starting offset (-1) must be greater than or equal to 0."),
    },
    {
      range: { length: 1.5 },
      error: new RangeError("Invalid range. Length (1.5) must be an integer, not floating point."),
    },
    {
      range: { suffix: -2 },
      error: new RangeError("Invalid suffix. Suffix (-2) must be greater than or equal to 0."),
    },
    { range: { offset: 1, suffix: 1 } as R2Range, error: new TypeError("Suffix is incompatible with offset.") },
    { range: { length: 1, suffix: 1 } as R2Range, error: new TypeError("Suffix is incompatible with length.") },
  ])("$range is refused in R2's words", ({ range, error }) => {
    expect(() => resolveRange(range, 10)).toThrow(error);
  });
});

describe("a range as a header, over 10 bytes", () => {
  test.each<{ header: string; is: [offset: number, length: number] }>([
    { header: "bytes=0-1", is: [0, 2] },
    { header: "bytes=4-", is: [4, 6] },
    { header: "bytes=4-99", is: [4, 6] },
    { header: "bytes=-3", is: [7, 3] },
    { header: "bytes=-99", is: [0, 10] },
    { header: " Bytes = 1 - 2 ", is: [1, 2] },
    // As in R2, these mean the whole object.
    { header: "bytes=10-", is: [0, 10] },
    { header: "bytes=3-1", is: [0, 10] },
    { header: "bytes=-0", is: [0, 10] },
    { header: "bytes=0-1,3-4", is: [0, 10] },
    { header: "items=0-1", is: [0, 10] },
    { header: "bytes=", is: [0, 10] },
  ])("$header", ({ header, is: [offset, length] }) => {
    expect(resolveRange(new Headers({ range: header }), 10)).toEqual({ offset, length });
  });
});

test("without a range all bytes are meant, of an empty object too", () => {
  expect(resolveRange(undefined, 10)).toEqual({ offset: 0, length: 10 });
  expect(resolveRange(new Headers(), 10)).toEqual({ offset: 0, length: 10 });
  expect(resolveRange(undefined, 0)).toEqual({ offset: 0, length: 0 });
});

test("no range of an empty object can be had", () => {
  expect(() => resolveRange({ offset: 0 }, 0)).toThrow(UNSATISFIABLE);
  expect(() => resolveRange({ suffix: 1 }, 0)).toThrow(UNSATISFIABLE);
});
