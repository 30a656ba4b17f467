import { describe, expect, it, test } from "vitest";
import { judgeList, type ListAnswered, type ListQuestion } from "../../drill/lists.ts";
import { acknowledged, type KeyHistory, type StoredValue, UNWRITTEN, unanswered } from "../../drill/oracle.ts";

const value = (etag: string): StoredValue => ({ sha256: etag, size: 3, etag, contentType: "a/b", customMetadata: {} });
const there = (etag: string): KeyHistory => acknowledged(UNWRITTEN, value(etag));
const gone = (etag: string): KeyHistory => acknowledged(there(etag), null);
const listed = (key: string, etag: string) => ({ key, size: 3, etag });

const HISTORIES = new Map<string, KeyHistory>([
  ["a/1", there("one")],
  ["a/2", acknowledged(there("old"), value("two"))],
  ["a/gone", gone("x")],
  ["b", there("bee")],
  ["c/gone", gone("y")],
  ["maybe", unanswered(UNWRITTEN, value("maybe"))],
]);
const ALL = { prefix: "", isDelimited: false };
const TOP = { prefix: "", isDelimited: true };
const RIGHT = [listed("a/1", "one"), listed("a/2", "two"), listed("b", "bee")];

const judged = (question: ListQuestion, answer: Partial<ListAnswered>, mustHave = (_: string) => true) =>
  judgeList(HISTORIES, question, { objects: [], prefixes: [], ...answer }, mustHave).map(
    ({ key, fault }) => `${fault} ${key}`,
  );

describe("a list", () => {
  test.each<{ rule: string; question: ListQuestion; answer: Partial<ListAnswered> }>([
    { rule: "with all that is there", question: ALL, answer: { objects: RIGHT } },
    { rule: "with what may be there too", question: ALL, answer: { objects: [...RIGHT, listed("maybe", "maybe")] } },
    { rule: "with prefixes", question: TOP, answer: { objects: [listed("b", "bee")], prefixes: ["a/"] } },
    { rule: "below a prefix", question: { prefix: "a/", isDelimited: true }, answer: { objects: RIGHT.slice(0, 2) } },
  ])("$rule is right", ({ question, answer }) => {
    expect(judged(question, answer)).toEqual([]);
  });

  test.each<{ rule: string; question?: ListQuestion; answer: Partial<ListAnswered>; says: string[] }>([
    { rule: "without a key", answer: { objects: RIGHT.slice(1) }, says: ["lost a/1"] },
    {
      rule: "without a prefix",
      question: TOP,
      answer: { objects: [listed("b", "bee")] },
      says: ["lost a/1", "lost a/2"],
    },
    {
      rule: "with a prefix of what is gone",
      question: TOP,
      answer: { objects: [listed("b", "bee")], prefixes: ["a/", "c/"] },
      says: ["unexplained c/"],
    },
    {
      rule: "with a key beside its prefix",
      question: TOP,
      answer: { objects: [listed("a/1", "one"), listed("b", "bee")], prefixes: ["a/"] },
      says: ["wrong a/1"],
    },
    {
      rule: "with a deleted key",
      answer: { objects: [...RIGHT.slice(0, 2), listed("a/gone", "x"), listed("b", "bee")] },
      says: ["resurrected a/gone"],
    },
    { rule: "with a key of nobody", answer: { objects: [...RIGHT, listed("z", "z")] }, says: ["unexplained z"] },
    {
      rule: "with an older write",
      answer: { objects: [listed("a/1", "one"), listed("a/2", "old"), listed("b", "bee")] },
      says: ["lost a/2"],
    },
    {
      rule: "with an etag that nobody wrote",
      answer: { objects: [listed("a/1", "else"), ...RIGHT.slice(1)] },
      says: ["wrong a/1"],
    },
    { rule: "with a key twice", answer: { objects: [...RIGHT, listed("b", "bee")] }, says: ["wrong b"] },
    { rule: "out of order", answer: { objects: [listed("b", "bee"), ...RIGHT.slice(0, 2)] }, says: ["wrong a/1"] },
  ])("$rule is found out", ({ question = ALL, answer, says }) => {
    expect(judged(question, answer)).toEqual(says);
  });

  it("may lack what R2 alone has, and nothing else", () => {
    const isQueued = (key: string) => key === "b";
    expect(judged(ALL, { objects: [] }, isQueued)).toEqual(["lost b"]);
    expect(judged(ALL, { objects: [listed("b", "bee")] }, isQueued)).toEqual([]);
  });

  it("is in the order of UTF-8, which is not that of JavaScript", () => {
    const [emoji, private_use] = ["👍", "\uE000"];
    const histories = new Map([emoji, private_use].map((key) => [key, there(key)]));
    const objects = [listed(private_use, private_use), listed(emoji, emoji)];
    expect(judgeList(histories, ALL, { objects, prefixes: [] }, () => true)).toEqual([]);
    expect(judgeList(histories, ALL, { objects: objects.reverse(), prefixes: [] }, () => true)).toHaveLength(1);
  });
});
