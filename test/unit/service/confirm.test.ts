import { describe, expect, test } from "vitest";
import { answer, createAccusations, hear, suspicion } from "../../../durable-objects/service/confirm";
import type { CircuitState } from "../../../src/shared/protocol";

const WINDOW = 10_000;
type Said = [at: number, reporter: string, circuit: CircuitState, success: number, failure: number];

function heard(...said: Said[]) {
  const accusations = createAccusations();
  for (const [at, reporter, circuit, success, failure] of said) {
    hear(accusations, reporter, circuit, { success, failure }, at);
  }
  return accusations;
}

describe("without the triggers met over all reports", () => {
  test.each<[string, Said[], number, string]>([
    ["nobody has said anything", [], 0, "none"],
    ["an isolate fails a little", [[0, "a", "CLOSED", 0, 2]], 0, "none"],
    [
      "two isolates fail a little",
      [
        [0, "a", "CLOSED", 0, 2],
        [0, "b", "CLOSED", 0, 1],
      ],
      0,
      "none",
    ],
    ["one isolate's circuit is open", [[0, "a", "OPEN", 0, 5]], 0, "suspect"],
    [
      "the same isolate says it again",
      [
        [0, "a", "OPEN", 0, 5],
        [1, "a", "OPEN", 0, 1],
      ],
      1,
      "suspect",
    ],
    ["one isolate tries again", [[0, "a", "HALF_OPEN", 0, 0]], 0, "suspect"],
    [
      "two isolates' circuits are open",
      [
        [0, "a", "OPEN", 0, 5],
        [9_999, "b", "OPEN", 0, 5],
      ],
      9_999,
      "confirmed",
    ],
    [
      "the other one said so too long ago",
      [
        [0, "a", "OPEN", 0, 5],
        [10_001, "b", "OPEN", 0, 5],
      ],
      10_001,
      "suspect",
    ],
    [
      "one has closed again",
      [
        [0, "a", "OPEN", 0, 5],
        [1, "a", "CLOSED", 0, 0],
        [2, "b", "OPEN", 0, 5],
      ],
      2,
      "suspect",
    ],
  ])("%s", (_, said, now, verdict) => {
    expect(suspicion(heard(...said), false, now, WINDOW)).toBe(verdict);
  });
});

describe("with the triggers met over all reports", () => {
  test.each<[string, Said[], string]>([
    ["one isolate alone", [[0, "a", "CLOSED", 0, 30]], "suspect"],
    [
      "two that fail",
      [
        [0, "a", "CLOSED", 0, 30],
        [0, "b", "CLOSED", 1, 1],
      ],
      "confirmed",
    ],
    [
      "one that fails beside one that mostly works",
      [
        [0, "a", "CLOSED", 0, 30],
        [0, "b", "CLOSED", 9, 1],
      ],
      "suspect",
    ],
    [
      "a shard and an isolate",
      [
        [0, "shard:3", "CLOSED", 0, 3],
        [0, "a", "CLOSED", 0, 4],
      ],
      "confirmed",
    ],
    [
      "one that worked again since",
      [
        [0, "a", "CLOSED", 0, 30],
        [0, "b", "CLOSED", 0, 4],
        [1, "b", "CLOSED", 5, 0],
      ],
      "suspect",
    ],
  ])("%s", (_, said, verdict) => {
    expect(suspicion(heard(...said), true, 1, WINDOW)).toBe(verdict);
  });
});

describe("a probe that went well", () => {
  test("answers what was said before it began", () => {
    const accusations = heard([5, "a", "OPEN", 0, 5]);
    answer(accusations, 5);
    expect(suspicion(accusations, true, 6, WINDOW)).toBe("none");
  });
  test("does not answer what is said after it began", () => {
    const accusations = heard([5, "a", "OPEN", 0, 5]);
    answer(accusations, 5);
    hear(accusations, "a", "OPEN", { success: 0, failure: 1 }, 7);
    expect(suspicion(accusations, false, 7, WINDOW)).toBe("suspect");
  });
  test("does not outvote two reporters who agree", () => {
    const accusations = heard([5, "a", "OPEN", 0, 5]);
    answer(accusations, 5);
    hear(accusations, "b", "OPEN", { success: 0, failure: 5 }, 8);
    expect(suspicion(accusations, false, 8, WINDOW)).toBe("confirmed");
  });
});
