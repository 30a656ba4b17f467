import { describe, expect, test } from "vitest";
import { classifyR2Error, R2TimeoutError, r2Code } from "../../../src/bucket/r2-errors";

const r2 = (code: number) => new Error(`put: some message (${code})`);

describe("R2's code is the number in brackets at the message's end", () => {
  test.each([
    ["put: We encountered an internal error. Please try again. (10001)", 10001],
    ["get: Unspecified error (0)", 0],
    ["head: with a space after it (10043) ", 10043],
    ["put: (10001) in the middle", null],
    ["Network connection lost.", null],
    ["", null],
  ])("%j → %j", (message, code) => {
    expect(r2Code(new Error(message))).toBe(code);
  });

  test("what is no Error has none", () => {
    for (const thrown of ["x (10001)", null, undefined, 10001, {}]) expect(r2Code(thrown)).toBeNull();
  });
});

describe("an outage is the service's failure", () => {
  test.each([
    ["internal error", r2(10001), true],
    ["service unavailable", r2(10043), true],
    ["a code that nobody knows yet", r2(19999), true],
    ["no R2 header", r2(0), false],
    ["connection lost", new Error("Network connection lost."), false],
    ["our own deadline", new R2TimeoutError("put", 30_000), false],
    ["something that is no Error", "broken", false],
  ])("%s (answered by R2: %3$s)", (_, error, answered) => {
    expect(classifyR2Error(error)).toMatchObject({ outcome: "failure", answered });
  });
});

test("a rate limit is throttled, not an outage", () => {
  expect(classifyR2Error(r2(10058))).toEqual({ outcome: "throttled", code: 10058, answered: true });
});

const CALLERS_OWN = [
  10002, 10003, 10006, 10007, 10011, 10012, 10013, 10014, 10018, 10020, 10022, 10024, 10025, 10029, 10031, 10033, 10035,
  10037, 10039, 10042, 10048, 10054, 10069, 100100,
];

test.each(CALLERS_OWN)("%i is the caller's own fault", (code) => {
  expect(classifyR2Error(r2(code))).toEqual({ outcome: "caller", code, answered: true });
});

test("a TypeError is the binding refusing an argument: the caller's own", () => {
  expect(classifyR2Error(new TypeError("Incorrect type"))).toEqual({ outcome: "caller", code: null, answered: true });
});
