import { describe, expect, test } from "vitest";
import { conditionHeaders, evaluate, refusal } from "../../../src/http/preconditions";

const uploaded = new Date("2026-03-01T12:00:00.750Z");
const object = { etag: "abc", uploaded };
const before = "Sun, 01 Mar 2026 11:59:59 GMT";
const same = "Sun, 01 Mar 2026 12:00:00 GMT";
const after = "Sun, 01 Mar 2026 12:00:01 GMT";

describe("RFC 9110 §13.2.2", () => {
  test.each<[Record<string, string>, string]>([
    [{}, "proceed"],
    [{ "if-match": '"abc"' }, "proceed"],
    [{ "if-match": '"x", "abc"' }, "proceed"],
    [{ "if-match": "*" }, "proceed"],
    [{ "if-match": '"x"' }, "failed"],
    [{ "if-match": 'W/"abc"' }, "failed"],
    [{ "if-none-match": '"abc"' }, "not_modified"],
    [{ "if-none-match": 'W/"abc"' }, "not_modified"],
    [{ "if-none-match": "*" }, "not_modified"],
    [{ "if-none-match": '"x"' }, "proceed"],
    [{ "if-modified-since": before }, "proceed"],
    [{ "if-modified-since": same }, "not_modified"],
    [{ "if-modified-since": after }, "not_modified"],
    [{ "if-unmodified-since": before }, "failed"],
    [{ "if-unmodified-since": same }, "proceed"],
    [{ "if-unmodified-since": after }, "proceed"],
    // An etag makes the date beside it void.
    [{ "if-match": '"abc"', "if-unmodified-since": before }, "proceed"],
    [{ "if-none-match": '"x"', "if-modified-since": after }, "proceed"],
    [{ "if-none-match": '"abc"', "if-modified-since": before }, "not_modified"],
    // 412 comes before 304.
    [{ "if-match": '"x"', "if-none-match": '"abc"' }, "failed"],
    [{ "if-match": '"abc"', "if-none-match": '"abc"' }, "not_modified"],
  ])("%o: %s", (headers, verdict) => {
    expect(evaluate(new Headers(headers), object)).toBe(verdict);
  });
});

test("what R2 refused and the RFC would not is answered by the kind of its condition", () => {
  expect(refusal(new Headers({ "if-unmodified-since": same }), object)).toBe("failed");
  expect(refusal(new Headers({ "if-modified-since": before }), object)).toBe("not_modified");
});

test("without conditions there is nothing to hand to R2", () => {
  expect(conditionHeaders(new Headers({ range: "bytes=0-1" }))).toBeNull();
});

test("only conditions are handed to R2", () => {
  const found = conditionHeaders(new Headers({ "if-match": '"a"', "content-type": "text/plain" }));
  expect([...(found ?? [])]).toEqual([["if-match", '"a"']]);
});

test.each(["abc", '"abc', '"a" "b"', "W/abc", ""])("the etag list %j is refused: R2 would throw on it", (value) => {
  expect(() => conditionHeaders(new Headers({ "if-match": value }))).toThrow(
    expect.objectContaining({ code: "INVALID_REQUEST" }),
  );
});

test("a date that cannot be read is ignored", () => {
  expect(conditionHeaders(new Headers({ "if-modified-since": "yesterday" }))).toBeNull();
});
