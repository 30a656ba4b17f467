import { expect, test } from "vitest";
import { FailoverFold } from "../../../durable-objects/service/failovers";

const write = { queuedWrites: 1, queuedReads: 0, cachedReads: 0 };
const reads = { queuedWrites: 0, queuedReads: 2, cachedReads: 3 };

test("nothing counted is nothing to tell", () => {
  const fold = new FailoverFold();
  fold.add({ queuedWrites: 0, queuedReads: 0, cachedReads: 0 });
  expect([fold.dueAt, fold.takeDue(1e12)]).toEqual([null, null]);
});

test("the first is told at once, what follows once a minute, and a later first at once again", () => {
  const fold = new FailoverFold();
  fold.add(write);
  expect(fold.takeDue(0)).toEqual({ queued_writes: 1, queued_reads: 0, cached_reads: 0 });
  fold.add(write);
  fold.add(reads);
  expect([fold.dueAt, fold.takeDue(59_999)]).toEqual([60_000, null]);
  expect(fold.takeDue(60_000)).toEqual({ queued_writes: 1, queued_reads: 2, cached_reads: 3 });
  expect([fold.dueAt, fold.takeDue(500_000)]).toEqual([null, null]);
  fold.add(write);
  expect(fold.takeDue(500_001)).toEqual({ queued_writes: 1, queued_reads: 0, cached_reads: 0 });
});
