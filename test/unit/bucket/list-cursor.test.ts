import { expect, test } from "vitest";
import { decodeCursor, encodeCursor, type ListPosition } from "../../../src/bucket/list-cursor";

test.each<ListPosition>([
  { kind: "object", name: "a/b", native: null },
  { kind: "prefix", name: "ä💾/", native: null },
  { kind: "object", name: "", native: "bmF0aXZl==" },
  { kind: "prefix", name: "?&=+/\0", native: "\u{10ffff}" },
])("comes back as it was: %j", (position) => {
  const cursor = encodeCursor(position);
  expect(cursor).toMatch(/^r2f\.[A-Za-z0-9_-]+$/);
  expect(decodeCursor(cursor)).toEqual(position);
});

const ours = (value: unknown) => `r2f.${btoa(JSON.stringify(value))}`;

test.each([
  ["", "nothing"],
  ["YS9i", "R2's own"],
  ["r2f.", "only the mark"],
  [encodeCursor({ kind: "object", name: "abc", native: null }).slice(0, -3), "cut short"],
  [encodeCursor({ kind: "object", name: "abc", native: null }).toUpperCase(), "in capitals"],
  ["r2f.!!!", "no base64"],
  [ours(5), "no array"],
  [ours(["object"]), "without a name"],
  [ours(["key", "a", null]), "of another kind"],
  [ours(["object", 5, null]), "with a number for a name"],
  [ours(["object", "a", 5]), "with a number for R2's cursor"],
  [`r2f.${btoa('["object","\xff",null]')}`, "not UTF-8"],
])("%j is none of ours: %s", (cursor) => {
  expect(decodeCursor(cursor)).toBeNull();
});
