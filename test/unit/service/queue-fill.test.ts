import { describe, expect, test } from "vitest";
import { filledPercent, milestones, nextFill, type QueueFill } from "../../../durable-objects/service/queue-fill";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import { IDLE_USAGE } from "./usage";

const bounds = (max_queue_size: number, max_queue_bytes: number) => ({
  queue: { ...DEFAULT_CONFIG.queue, max_queue_size, max_queue_bytes },
});

test.each([
  [{ pending: 3, processing: 2, bytes: 0 }, bounds(10, 1_000), 50],
  [{ pending: 1, processing: 0, bytes: 800 }, bounds(10, 1_000), 80],
  [{ pending: 9, processing: 0, bytes: 100 }, bounds(0, 1_000), 10],
  [{ pending: 1, processing: 0, bytes: 1 }, bounds(10, 0), 100],
  [{ pending: 0, processing: 0, bytes: 0 }, bounds(10, 0), 0],
])("%o is filled by the larger share of its bounds", (usage, config, percent) => {
  expect(filledPercent({ ...IDLE_USAGE, ...usage }, config)).toBe(percent);
});

/** The marks that a queue passes on a way of [operations, percent]. */
function walk(...steps: readonly (readonly [number, number])[]): string[][] {
  let held: QueueFill = "empty";
  return steps.map(([operations, percent]) => {
    const next = nextFill(held, operations, percent);
    const passed = milestones(held, next).map(({ type }) => type);
    held = next;
    return passed;
  });
}

describe("milestones", () => {
  test("are told on the way up and at the end", () => {
    expect(walk([1, 1], [5, 50], [8, 80], [10, 100], [3, 30], [0, 0])).toEqual([
      ["QUEUE_FIRST_QUEUED"],
      ["QUEUE_HALF_FULL"],
      ["QUEUE_NEARLY_FULL"],
      ["QUEUE_FULL"],
      [],
      ["QUEUE_DRAINED"],
    ]);
  });

  test("that are passed at once are told by the highest", () => {
    expect(walk([9, 90])).toEqual([["QUEUE_FIRST_QUEUED", "QUEUE_NEARLY_FULL"]]);
  });

  test("are told once while the queue goes up and down around a mark", () => {
    expect(walk([8, 80], [7, 71], [8, 82], [7, 70], [8, 80]).flat()).toEqual([
      "QUEUE_FIRST_QUEUED",
      "QUEUE_NEARLY_FULL",
    ]);
  });

  test("are told again when the queue had got clear of the mark", () => {
    expect(walk([8, 80], [6, 69], [8, 80]).flat()).toEqual([
      "QUEUE_FIRST_QUEUED",
      "QUEUE_NEARLY_FULL",
      "QUEUE_NEARLY_FULL",
    ]);
  });
});
