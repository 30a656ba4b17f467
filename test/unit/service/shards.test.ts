import { describe, expect, test } from "vitest";
import type { ShardRecord } from "../../../durable-objects/service/service-store";
import { takeCalm, takeNotice } from "../../../durable-objects/service/shards";
import type { BusyKeys, ShardUsage } from "../../../src/shared/protocol";

const LIMIT = { operations: 64, bytes: 6_400 };
const USAGE: ShardUsage = {
  pending: 1,
  processing: 0,
  failed: 0,
  bytes: 10,
  oldestAt: 5,
  completed: 0,
  cancelled: 0,
  superseded: 0,
};
const WANTED = { operations: 1, bytes: 10 };

const held = (epoch: number, busy: BusyKeys | null): ShardRecord => ({
  shard: 3,
  epoch,
  busy,
  usage: USAGE,
  quota: { operations: 8, bytes: 800 },
});
const notice = (epoch: number, busy: BusyKeys) => ({ shard: 3, epoch, busy, usage: USAGE, wanted: WANTED });
const take = (record: ShardRecord | undefined, epoch: number, busy: BusyKeys) =>
  takeNotice(record, notice(epoch, busy), LIMIT, 8, record === undefined ? [] : [record]);

describe("a busy notice", () => {
  test.each<[string, ShardRecord | undefined, number, BusyKeys, { busy: BusyKeys; isWider: boolean } | null]>([
    ["the first one", undefined, 1, [7], { busy: [7], isWider: true }],
    ["of a new epoch takes the place of the old one", held(1, [7]), 2, [9], { busy: [9], isWider: true }],
    ["of a new epoch after calm", held(1, null), 2, [7], { busy: [7], isWider: true }],
    ["of the same epoch, repeated", held(2, [7]), 2, [7], { busy: [7], isWider: false }],
    ["of the same epoch widens", held(2, [7]), 2, [9], { busy: [7, 9], isWider: true }],
    ["of the same epoch, for all keys", held(2, [7]), 2, "all", { busy: "all", isWider: true }],
    ["of the same epoch never narrows", held(2, "all"), 2, [7], { busy: "all", isWider: false }],
    ["of an epoch that has passed is ignored", held(2, [7]), 1, [9], null],
    ["that comes after the calm of its epoch is ignored", held(2, null), 2, [7], null],
  ])("%s", (_, record, epoch, busy, expected) => {
    const taken = take(record, epoch, busy);
    expect(taken === null ? null : { busy: taken.record.busy, isWider: taken.isWider }).toEqual(expected);
    if (taken !== null) expect(taken.record.epoch).toBe(epoch);
  });

  test("brings usage, and takes quota that no other shard holds", () => {
    const others: ShardRecord[] = [{ ...held(1, "all"), shard: 4, quota: { operations: 62, bytes: 0 } }];
    const taken = takeNotice(undefined, { ...notice(1, [7]), wanted: { operations: 5, bytes: 10 } }, LIMIT, 8, others);
    expect(taken?.record).toMatchObject({ usage: USAGE, quota: { operations: 2, bytes: 100 } });
  });
});

describe("a calm notice, by compare-and-set on the epoch", () => {
  const usage = { ...USAGE, pending: 0, bytes: 0 };
  const calmed = (record: ShardRecord | undefined, epoch: number) => takeCalm(record, { shard: 3, epoch, usage });

  test.each<[string, ShardRecord | undefined, number, boolean]>([
    ["of the epoch that is busy", held(2, [7]), 2, true],
    ["again", held(2, null), 2, true],
    ["of an epoch that was never heard of", held(2, [7]), 3, true],
    ["of a shard that was never heard of", undefined, 3, true],
    ["after a newer busy notice", held(3, [7]), 2, false],
  ])("%s: accepted %4$s", (_, record, epoch, accepted) => {
    expect(calmed(record, epoch) !== null).toBe(accepted);
  });
  test("releases the quota", () => {
    const quota = { operations: 0, bytes: 0 };
    expect(calmed(held(2, [7]), 2)).toEqual({ shard: 3, epoch: 2, busy: null, usage, quota });
  });
});
