import { describe, expect, test } from "vitest";
import {
  createCacheMemory,
  isCurrent,
  isNews,
  rememberForgotten,
  rememberStored,
} from "../../../src/bucket/cache-memory";

const MINUTE = 60_000;

describe("what is news", () => {
  test("a version that was never stored, or not within a minute, or another one than was stored", () => {
    const memory = createCacheMemory();
    expect(isNews(memory, "key", "v1", 0)).toBe(true);
    rememberStored(memory, "key", "v1", 0);
    expect(isNews(memory, "key", "v1", MINUTE - 1)).toBe(false);
    expect(isNews(memory, "key", "v2", MINUTE - 1)).toBe(true);
    expect(isNews(memory, "other", "v1", MINUTE - 1)).toBe(true);
    expect(isNews(memory, "key", "v1", MINUTE)).toBe(true);
  });

  test("an absence, unless the key was forgotten within a minute", () => {
    const memory = createCacheMemory();
    expect(isNews(memory, "key", null, 0)).toBe(true);
    rememberForgotten(memory, "key", 0);
    expect(isNews(memory, "key", null, MINUTE - 1)).toBe(false);
    expect(isNews(memory, "key", "v1", MINUTE - 1)).toBe(true);
    expect(isNews(memory, "key", null, MINUTE)).toBe(true);
    rememberStored(memory, "key", "v1", 0);
    expect(isNews(memory, "key", null, 1)).toBe(true);
  });
});

describe("what was read of a key is current", () => {
  test("until the key is forgotten, and again when it is read after that", () => {
    const memory = createCacheMemory();
    const before = memory.now;
    rememberForgotten(memory, "other", 0);
    expect(isCurrent(memory, "key", before)).toBe(true);
    rememberForgotten(memory, "key", 0);
    expect(isCurrent(memory, "key", before)).toBe(false);
    expect(isCurrent(memory, "key", memory.now)).toBe(true);
  });

  test("not when it was stored in between", () => {
    const memory = createCacheMemory();
    const before = memory.now;
    rememberForgotten(memory, "key", 0);
    rememberStored(memory, "key", "v1", 0);
    expect(isCurrent(memory, "key", before)).toBe(false);
  });

  test("not when so many keys were forgotten since that nobody knows whether it was among them", () => {
    const memory = createCacheMemory();
    const before = memory.now;
    rememberForgotten(memory, "key", 0);
    for (let n = 0; n < 2_000; n += 1) rememberForgotten(memory, `other ${n}`, 0);
    expect(memory.dealings.size).toBe(1_000);
    expect(isCurrent(memory, "key", before)).toBe(false);
    expect(isCurrent(memory, "never seen", before)).toBe(false);
    expect(isCurrent(memory, "key", memory.now)).toBe(true);
  });

  test("however many keys are only stored meanwhile", () => {
    const memory = createCacheMemory();
    rememberForgotten(memory, "key", 0);
    const readAt = memory.now;
    for (let n = 0; n < 2_000; n += 1) rememberStored(memory, `other ${n}`, "v1", 0);
    expect(isCurrent(memory, "key", readAt)).toBe(true);
  });
});
