import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isKeyBusy, isNewer, leaseMs, mergeShard } from "../../../src/circuit/snapshot";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import type { BusyKeys, ShardView } from "../../../src/shared/protocol";
import { snapshotOf } from "./support";

describe("a snapshot takes the place of the one held", () => {
  const held = snapshotOf({ storageId: "a", version: 7, issuedAt: 1_000 });
  test.each([
    { rule: "when none is held", held: null, offered: snapshotOf({ version: 1 }), newer: true },
    { rule: "when its version is higher", held, offered: { ...held, version: 8, issuedAt: 900 }, newer: true },
    { rule: "not when its version is the same", held, offered: { ...held, issuedAt: 2_000 }, newer: false },
    {
      rule: "not when its version is lower, though issued later",
      held,
      offered: { ...held, version: 6, issuedAt: 2_000 },
      newer: false,
    },
    {
      rule: "of a storage that was lost, when issued later",
      held,
      offered: { ...held, storageId: "b", version: 1, issuedAt: 1_001 },
      newer: true,
    },
    {
      rule: "not of another storage when issued before",
      held,
      offered: { ...held, storageId: "b", version: 9, issuedAt: 999 },
      newer: false,
    },
  ])("$rule", ({ held: before, offered, newer }) => {
    expect(isNewer(before, offered)).toBe(newer);
  });
});

const shard = (epoch: number, busy: BusyKeys | null): ShardView => ({ shard: 3, epoch, busy });

describe("of two views of a shard", () => {
  test.each([
    { rule: "the only one counts", held: undefined, offered: shard(0, null), merged: shard(0, null) },
    { rule: "the higher epoch wins: busy again", held: shard(4, null), offered: shard(5, [1]), merged: shard(5, [1]) },
    {
      rule: "the higher epoch wins: calm again",
      held: shard(4, "all"),
      offered: shard(5, null),
      merged: shard(5, null),
    },
    {
      rule: "a reply of an older epoch is dropped",
      held: shard(5, null),
      offered: shard(4, "all"),
      merged: shard(5, null),
    },
    { rule: "at one epoch calm wins over busy", held: shard(5, [1]), offered: shard(5, null), merged: shard(5, null) },
    {
      rule: "at one epoch busy does not win over calm",
      held: shard(5, null),
      offered: shard(5, "all"),
      merged: shard(5, null),
    },
    { rule: "a wider list wins", held: shard(5, [1]), offered: shard(5, [1, 2]), merged: shard(5, [1, 2]) },
    { rule: "a narrower list loses", held: shard(5, [1, 2]), offered: shard(5, [2]), merged: shard(5, [1, 2]) },
    {
      rule: "no key of two lists is lost",
      held: shard(5, [1, 2]),
      offered: shard(5, [2, 3]),
      merged: shard(5, [1, 2, 3]),
    },
    { rule: "all keys win over a list", held: shard(5, [1]), offered: shard(5, "all"), merged: shard(5, "all") },
    {
      rule: "a list does not win over all keys",
      held: shard(5, "all"),
      offered: shard(5, [1]),
      merged: shard(5, "all"),
    },
  ])("$rule", ({ held, offered, merged }) => {
    expect(mergeShard(held, offered)).toEqual(merged);
  });

  test("lists that grow without end become all keys", () => {
    const keys = Array.from({ length: 256 }, (_, keyHash) => keyHash);
    expect(mergeShard(shard(5, keys), shard(5, [255]))).toEqual(shard(5, keys));
    expect(mergeShard(shard(5, keys), shard(5, [256]))).toEqual(shard(5, "all"));
  });

  test("the order in which replies arrive does not matter: merged either way, the same keys are busy", () => {
    const busy = fc.oneof(fc.constant(null), fc.constant("all" as const), fc.uniqueArray(fc.nat(9), { minLength: 1 }));
    const view = fc.tuple(fc.nat(2), busy).map(([epoch, keys]) => shard(epoch, keys));
    fc.assert(
      fc.property(
        fc.array(view, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        (views, order) => {
          const shuffled = views.map((each, index) => ({ each, by: order[index] ?? 0 })).sort((a, b) => a.by - b.by);
          const one = views.reduce<ShardView | undefined>(mergeShard, undefined);
          const other = shuffled.map(({ each }) => each).reduce<ShardView | undefined>(mergeShard, undefined);
          expect(one?.epoch).toBe(other?.epoch);
          for (let keyHash = 0; keyHash < 10; keyHash += 1)
            expect(isKeyBusy(one, keyHash)).toBe(isKeyBusy(other, keyHash));
        },
      ),
    );
  });
});

test.each([
  { view: undefined, busy: false },
  { view: shard(5, null), busy: false },
  { view: shard(5, [1, 4_294_967_295]), busy: true },
  { view: shard(5, [1, 2]), busy: false },
  { view: shard(5, "all"), busy: true },
])("the key 4294967295 is busy in $view: $busy", ({ view, busy }) => {
  expect(isKeyBusy(view, 4_294_967_295)).toBe(busy);
});

describe("a lease", () => {
  test.each([
    { rule: "is 5 s in calm", isolates: 1, incident: false, ms: 5_000 },
    { rule: "is 1 s in an incident", isolates: 1, incident: true, ms: 1_000 },
    { rule: "is stretched so that 600 isolates make 100 requests a second", isolates: 600, incident: false, ms: 6_000 },
    { rule: "is stretched in an incident too", isolates: 250, incident: true, ms: 2_500 },
    {
      rule: "never is longer than the cap: past 3,000 isolates the budget yields",
      isolates: 10_000,
      incident: false,
      ms: 30_000,
    },
    { rule: "is 5 s when nobody is known yet", isolates: 0, incident: false, ms: 5_000 },
  ])("$rule", ({ isolates, incident, ms }) => {
    expect(leaseMs(isolates, incident, DEFAULT_CONFIG.service)).toBe(ms);
  });

  test("follows a cap that is below its own shortest", () => {
    expect(leaseMs(1, false, { ...DEFAULT_CONFIG.service, lease_cap_ms: 100 })).toBe(100);
  });
});
