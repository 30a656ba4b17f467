import { describe, expect, it, test } from "vitest";
import { type Announced, MAX_LISTED_KEYS, narrow, widen } from "../../../durable-objects/queue/busy-epoch";
import type { BusyKeys } from "../../../src/shared/protocol";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);
const state = (epoch: number, busy: BusyKeys | null, isCalming = false): Announced => ({ epoch, busy, isCalming });

describe("widen", () => {
  test.each([
    { rule: "calm becomes busy", held: null, key: 7, is: state(5, [7]) },
    { rule: "one more key is listed", held: [7], key: 8, is: state(5, [7, 8]) },
    { rule: "a listed key changes nothing", held: [7, 8], key: 8, is: state(4, [7, 8]) },
    { rule: "under all, a key changes nothing", held: "all" as const, key: 8, is: state(4, "all") },
    {
      rule: "the last key that fits is listed",
      held: upTo(MAX_LISTED_KEYS - 1),
      key: 99,
      is: state(5, [...upTo(MAX_LISTED_KEYS - 1), 99]),
    },
    { rule: "one key too many is all", held: upTo(MAX_LISTED_KEYS), key: 99, is: state(5, "all") },
  ])("$rule", ({ held, key, is }) => {
    expect(widen(state(4, held), key)).toEqual(is);
  });

  it("gives back the same value when there is nothing to store", () => {
    const held = state(4, [7]);
    expect(widen(held, 7)).toBe(held);
  });

  it("announces anew while a calm is under way, even what is listed", () => {
    expect(widen(state(4, [7], true), 7)).toEqual(state(5, [7]));
    expect(widen(state(4, "all", true), 7)).toEqual(state(5, "all"));
  });
});

describe("narrow", () => {
  test.each<{ rule: string; busy: BusyKeys | null; held: number[] | null; is: Announced }>([
    { rule: "all is cut down to what is held", busy: "all", held: [1, 2], is: state(5, [1, 2]) },
    { rule: "a list is cut down", busy: [1, 2, 3], held: [2], is: state(5, [2]) },
    { rule: "what is held is announced already", busy: [1, 2], held: [1, 2], is: state(4, [1, 2]) },
    { rule: "too many to list stays all", busy: "all", held: null, is: state(4, "all") },
    {
      rule: "one more than may be listed stays all",
      busy: "all",
      held: upTo(MAX_LISTED_KEYS + 1),
      is: state(4, "all"),
    },
    { rule: "nothing held is for a calm to say", busy: [1], held: [], is: state(4, [1]) },
    { rule: "calm stays calm", busy: null, held: [1], is: state(4, null) },
  ])("$rule", ({ busy, held, is }) => {
    expect(narrow(state(4, busy), held)).toEqual(is);
  });
});
