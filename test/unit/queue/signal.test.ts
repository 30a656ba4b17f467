import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Signal } from "../../../durable-objects/queue/signal";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Whether the wait has ended after `ms` of the fake clock. */
async function endsWithin(wait: Promise<void>, ms: number): Promise<boolean> {
  let hasEnded = false;
  void wait.then(() => {
    hasEnded = true;
  });
  await vi.advanceTimersByTimeAsync(ms);
  return hasEnded;
}

it("ends a wait at once when it is raised", async () => {
  const signal = new Signal();
  const wait = signal.wait(1_000);
  signal.raise();
  expect(await endsWithin(wait, 0)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

it("ends a wait by the clock when it is not raised", async () => {
  const wait = new Signal().wait(1_000);
  expect(await endsWithin(wait, 999)).toBe(false);
  expect(await endsWithin(wait, 1)).toBe(true);
});

it("is not lost when it is raised while nobody waits", async () => {
  const signal = new Signal();
  signal.raise();
  expect(await endsWithin(signal.wait(1_000), 0)).toBe(true);
});

it("wakes once, however often it was raised before", async () => {
  const signal = new Signal();
  signal.raise();
  signal.raise();
  expect(await endsWithin(signal.wait(1_000), 0)).toBe(true);
  expect(await endsWithin(signal.wait(1_000), 999)).toBe(false);
});

it("leaves nothing behind of a wait that the clock has ended", async () => {
  const signal = new Signal();
  await Promise.all([signal.wait(10), vi.advanceTimersByTimeAsync(10)]);
  expect(await endsWithin(signal.wait(1_000), 999)).toBe(false);
});
