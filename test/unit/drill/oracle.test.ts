import { describe, expect, it } from "vitest";
import {
  acknowledged,
  countFaults,
  type Fault,
  judge,
  type KeyHistory,
  type StoredValue,
  UNWRITTEN,
  unanswered,
  type Value,
} from "../../drill/oracle.ts";

const value = (sha256: string, other: Partial<StoredValue> = {}): StoredValue => ({
  sha256,
  size: 5,
  etag: `md5-of-${sha256}`,
  contentType: "text/plain",
  customMetadata: { version: "1" },
  ...other,
});
const A = value("a");
const B = value("b");

const written = (...values: Value[]): KeyHistory => values.reduce(acknowledged, UNWRITTEN);

const CASES: [rule: string, history: KeyHistory | undefined, found: Value, fault: Fault | null][] = [
  ["the acknowledged object is right", written(A), A, null],
  ["no object after an acknowledged put is a loss", written(A), null, "lost"],
  ["the object that an acknowledged put replaced is a loss", written(A, B), A, "lost"],
  ["an object that nobody wrote in this form is wrong", written(A), value("c"), "wrong"],
  ["the same bytes with another etag are wrong", written(A), { ...A, etag: "other" }, "wrong"],
  ["the same bytes with another content type are wrong", written(A), { ...A, contentType: "text/html" }, "wrong"],
  ["the same bytes with other metadata are wrong", written(A), { ...A, customMetadata: { version: "2" } }, "wrong"],
  [
    "the same bytes with more metadata are wrong",
    written(A),
    { ...A, customMetadata: { version: "1", x: "" } },
    "wrong",
  ],
  ["no object after an acknowledged delete is right", written(A, null), null, null],
  ["an object after an acknowledged delete is resurrected", written(A, null), A, "resurrected"],
  ["a put after a delete brings the object back", written(A, null, B), B, null],
  ["after an unanswered put the new object is right", unanswered(written(A), B), B, null],
  ["after an unanswered put the old object is right", unanswered(written(A), B), A, null],
  ["after an unanswered put no object is a loss", unanswered(written(A), B), null, "lost"],
  ["after an unanswered delete the object is right", unanswered(written(A), null), A, null],
  ["after an unanswered delete no object is right", unanswered(written(A), null), null, null],
  ["an unanswered put may create the object", unanswered(UNWRITTEN, A), A, null],
  ["an unanswered put may leave nothing", unanswered(UNWRITTEN, A), null, null],
  ["an answered put ends the doubt", acknowledged(unanswered(written(A), B), A), B, "lost"],
  ["an answered delete ends the doubt", acknowledged(unanswered(written(A), B), null), B, "resurrected"],
  ["an object under a key that nobody wrote is unexplained", undefined, A, "unexplained"],
  ["nothing under a key that nobody wrote is right", undefined, null, null],
];

describe("the drill's oracle", () => {
  it.each(CASES)("%s", (_rule, history, found, fault) => {
    expect(judge("key", history, found)?.fault ?? null).toBe(fault);
  });

  it("names every difference of a wrong object", () => {
    const found = value("b", { size: 6, contentType: "text/html", customMetadata: {} });
    expect(judge("key", written(A), found)?.detail).toBe(
      '6 bytes, not 5, etag md5-of-b, not md5-of-a, content type text/html, not text/plain, metadata {}, not {"version":"1"}',
    );
  });

  it("counts findings by fault", () => {
    const finding = (fault: Fault) => ({ key: "key", fault, detail: "" });
    expect(countFaults([finding("lost"), finding("wrong"), finding("lost")])).toEqual({
      lost: 2,
      wrong: 1,
      resurrected: 0,
      unexplained: 0,
    });
  });
});
