import { expect, test } from "vitest";
import { followOwnWrite, mayBeLater, type OwnWrites, ownWrite, rememberOwnWrite } from "../../../src/bucket/own-writes";

test("the latest own write of a key is known for a minute", () => {
  const writes: OwnWrites = new Map();
  rememberOwnWrite(writes, "a", "v1", 1_000);
  rememberOwnWrite(writes, "a", "v2", 2_000);
  expect([2_000, 62_000, 62_001].map((now) => ownWrite(writes, "a", now))).toEqual(["v2", "v2", null]);
  expect(ownWrite(writes, "b", 2_000)).toBeNull();
});

test("a thousand keys are remembered, and the one written longest ago goes first", () => {
  const writes: OwnWrites = new Map();
  for (let n = 0; n < 1_000; n += 1) rememberOwnWrite(writes, `key-${n}`, `v${n}`, n);
  rememberOwnWrite(writes, "key-0", "again", 1_000);
  rememberOwnWrite(writes, "one more", "v", 1_001);
  expect(writes.size).toBe(1_000);
  expect(["key-0", "key-1", "one more"].map((key) => ownWrite(writes, key, 1_001))).toEqual(["again", null, "v"]);
});

test("an own write may be later than what was queued before it, or up to a second after it, until the isolate goes on", () => {
  const writes: OwnWrites = new Map();
  rememberOwnWrite(writes, "a", "v", 10_000);
  const isLater = (enqueuedAt: number, now = 10_000) => mayBeLater(writes, "a", enqueuedAt, now);
  expect([isLater(9_000), isLater(11_000), isLater(11_001), isLater(9_000, 70_001)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(mayBeLater(writes, "b", 9_000, 10_000)).toBe(false);
  followOwnWrite(writes, "a");
  expect(isLater(9_000)).toBe(false);
  expect(ownWrite(writes, "a", 10_000)).toBe("v");
  rememberOwnWrite(writes, "a", "w", 12_000);
  expect(isLater(12_500, 12_000)).toBe(true);
});
