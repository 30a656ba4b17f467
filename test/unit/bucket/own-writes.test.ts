import { expect, test } from "vitest";
import { type OwnWrites, ownWrite, rememberOwnWrite } from "../../../src/bucket/own-writes";

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
