/** The order in which R2 lists keys: by their UTF-8 bytes. Pure. */
import { MAX_KEY_BYTES } from "./keys";

const encoder = new TextEncoder();

/** The highest character of one, two and three bytes of UTF-8. */
const HIGHEST = ["", "\u007f", "\u07ff", "\uffff"] as const;

/** The last of all keys. */
const LAST_KEY = "\u{10ffff}".repeat(MAX_KEY_BYTES / 4);

/**
 * Compares keys as R2 and SQLite do. JavaScript's own order is by UTF-16 units, in which everything beyond U+FFFF would
 * come before U+E000.
 */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const difference = rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** A UTF-16 unit's place in the order of UTF-8: halves of surrogate pairs come last. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

export function laterKey(a: string, b: string): string {
  return compareKeys(a, b) >= 0 ? a : b;
}

/** The last of all keys that begin with the prefix: a list that starts after it has left the prefix behind. */
export function lastKeyBelow(prefix: string): string {
  const free = Math.max(0, MAX_KEY_BYTES - encoder.encode(prefix).byteLength);
  return prefix + LAST_KEY.slice(0, 2 * Math.floor(free / 4)) + (HIGHEST[free % 4] ?? "");
}

/** The last key before this one, which is not empty. */
export function keyBefore(key: string): string {
  const last = [...key].at(-1) ?? "";
  const start = key.slice(0, key.length - last.length);
  const point = last.codePointAt(0) ?? 0;
  if (point === 0) return start;
  // Halves of surrogate pairs are no characters.
  return lastKeyBelow(start + String.fromCodePoint(point === 0xe000 ? 0xd7ff : point - 1));
}
