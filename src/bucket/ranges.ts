/** R2's `range` resolved over a size. Pure. */
import { structOf } from "./r2-arguments";

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** R2's caller error 10039. */
function notSatisfiable(): Error {
  return new Error("get: The requested range is not satisfiable (10039)");
}

/**
 * The bytes that a `range` of either form names in `size` bytes; without one, all of them. As in R2, a header that is
 * malformed, names several ranges or none that exists means all bytes, while an object form out of bounds throws.
 */
export function resolveRange(given: R2Range | Headers | undefined, size: number): ByteRange {
  const range = structOf("GetOptions", "range", "Range", given);
  if (range === undefined) return { offset: 0, length: size };
  return range instanceof Headers ? fromHeader(range.get("range"), size) : fromObject(range, size);
}

/** Throws what R2 throws on a range that no object has. */
export function checkRange(given: R2Range | Headers | undefined): void {
  const range = structOf("GetOptions", "range", "Range", given);
  if (range !== undefined && !(range instanceof Headers)) checkedNumbers(range);
}

function fromObject(range: R2Range, size: number): ByteRange {
  const { offset, length, suffix } = checkedNumbers(range);
  if (suffix !== undefined) {
    const taken = Math.min(suffix, size);
    if (taken === 0) throw notSatisfiable();
    return { offset: size - taken, length: taken };
  }
  const from = offset ?? 0;
  const taken = Math.min(length ?? size - from, size - from);
  if (taken <= 0) throw notSatisfiable();
  return { offset: from, length: taken };
}

function checkedNumbers(range: { offset?: number; length?: number; suffix?: number }) {
  const [offset, length, suffix] = [range.offset, range.length, range.suffix].map((given) =>
    // What is no number is made one, as the binding does.
    given === undefined ? undefined : Number(given),
  );
  checkNumber("Starting offset", offset);
  checkNumber("Length", length);
  if (suffix !== undefined) {
    if (offset !== undefined) throw new TypeError("Suffix is incompatible with offset.");
    if (length !== undefined) throw new TypeError("Suffix is incompatible with length.");
    checkNumber("Suffix", suffix);
  }
  return { offset, length, suffix };
}

function checkNumber(name: "Starting offset" | "Length" | "Suffix", value: number | undefined): void {
  if (value === undefined) return;
  const shown = Number.isNaN(value) ? "nan" : value;
  if (!(value >= 0)) {
    const what = name === "Suffix" ? "suffix" : "range";
    throw new RangeError(`Invalid ${what}. ${name} (${shown}) must be greater than or equal to 0.`);
  }
  if (Math.trunc(value) !== value) {
    throw new RangeError(`Invalid range. ${name} (${shown}) must be an integer, not floating point.`);
  }
}

const SINGLE_RANGE = /^\s*bytes\s*=\s*(?:(\d+)\s*-\s*(\d*)|-\s*(\d+))\s*$/i;

function fromHeader(header: string | null, size: number): ByteRange {
  const whole = { offset: 0, length: size };
  const match = header === null ? null : SINGLE_RANGE.exec(header);
  if (match === null) return whole;
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    const taken = Math.min(Number(suffix), size);
    return taken === 0 ? whole : { offset: size - taken, length: taken };
  }
  const from = Number(first);
  const to = last === undefined || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return from >= size || from > to ? whole : { offset: from, length: to - from + 1 };
}
