import { describe, expect, test } from "vitest";
import { estimate, type QueueTrack, track } from "../../../durable-objects/service/estimates";

const LIMIT = { operations: 1_000, bytes: 1_000_000 };

/** Sizes of the queue at times in ms; 10 bytes an operation unless said. */
function tracked(...sizes: [at: number, operations: number, bytes?: number][]): QueueTrack {
  const samples: QueueTrack = [];
  for (const [at, operations, bytes = operations * 10] of sizes) track(samples, operations, bytes, at);
  return samples;
}

describe("drained in", () => {
  test.each<[string, [number, number][], number, number | null]>([
    ["nothing known", [], 0, null],
    ["an empty queue is drained", [[0, 0]], 5_000, 0],
    ["a queue that was just looked at for the first time", [[0, 100]], 100, null],
    [
      "100 → 80 in 4 s is 5 a second, 80 take 16 s",
      [
        [0, 100],
        [4_000, 80],
      ],
      4_000,
      16_000,
    ],
    [
      "since its peak: 110 → 90 in 3 s, 90 take 13.5 s",
      [
        [0, 0],
        [2_000, 110],
        [5_000, 90],
      ],
      5_000,
      13_500,
    ],
    [
      "not, since its trough: 100 → 10 → 40",
      [
        [0, 100],
        [2_000, 10],
        [5_000, 40],
      ],
      5_000,
      null,
    ],
    [
      "one that grows",
      [
        [0, 100],
        [4_000, 120],
      ],
      4_000,
      null,
    ],
    [
      "one that stands still",
      [
        [0, 100],
        [1_000, 90],
        [60_000, 90],
      ],
      60_000,
      null,
    ],
    [
      "less than two seconds say nothing",
      [
        [0, 100],
        [1_000, 10],
      ],
      1_900,
      null,
    ],
    [
      "by the last 15 s alone: 90 → 60 is 2 a second",
      [
        [0, 1_000],
        [10_000, 90],
        [30_000, 60],
      ],
      30_000,
      30_000,
    ],
    [
      "slower when nothing has ended since",
      [
        [0, 100],
        [4_000, 80],
      ],
      8_000,
      32_000,
    ],
  ])("%s", (_, sizes, now, expected) => {
    expect(estimate(tracked(...sizes), LIMIT, now).drainedInMs).toBe(expected);
  });
});

describe("full in", () => {
  test.each<[string, [number, number, number?][], { operations: number; bytes: number }, number | null]>([
    [
      "not, while it does not grow",
      [
        [0, 100],
        [5_000, 90],
      ],
      LIMIT,
      null,
    ],
    [
      "10 a second, 850 left",
      [
        [0, 100],
        [5_000, 150],
      ],
      LIMIT,
      85_000,
    ],
    [
      "since its trough: 500 → 100 → 140 in 2 s, 860 left",
      [
        [0, 500],
        [3_000, 100],
        [5_000, 140],
      ],
      LIMIT,
      43_000,
    ],
    [
      "by bytes, when those are full first",
      [
        [0, 1, 0],
        [5_000, 2, 500_000],
      ],
      LIMIT,
      5_000,
    ],
    [
      "any number of operations, within the bytes",
      [
        [0, 100, 5],
        [5_000, 150, 5],
      ],
      { operations: 0, bytes: 9 },
      null,
    ],
    [
      "full already",
      [
        [0, 1_000],
        [5_000, 1_000],
      ],
      LIMIT,
      0,
    ],
    ["over a limit that was lowered", [[0, 1_200]], LIMIT, 0],
  ])("%s", (_, sizes, limit, expected) => {
    expect(estimate(tracked(...sizes), limit, 5_000).fullInMs).toBe(expected);
  });
});

test("what is kept does not grow with the number of changes", () => {
  const samples: QueueTrack = [];
  for (let at = 0; at < 100_000; at += 10) track(samples, at % 7, 0, at);
  expect(samples.length).toBeLessThan(70);
});
