/**
 * The one byte range that a Range header asks for, or null for the whole object: without the header, for other units,
 * several ranges or a malformed one (RFC 9110 §14.2 lets a server ignore those).
 */
export function parseRange(header: string | null): R2Range | null {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? "");
  if (match === null) return null;
  const [, first = "", last = ""] = match;
  if (first === "") return last === "" ? null : { suffix: Number(last) };
  const offset = Number(first);
  if (last === "") return { offset };
  return Number(last) < offset ? null : { offset, length: Number(last) - offset + 1 };
}

/** The first and the last byte that a satisfiable range means in an object of `size` bytes. */
export function servedBytes(range: R2Range, size: number): { readonly first: number; readonly last: number } {
  if ("suffix" in range) return { first: Math.max(0, size - range.suffix), last: size - 1 };
  const first = range.offset ?? 0;
  const end = range.length === undefined ? size : Math.min(size, first + range.length);
  return { first, last: end - 1 };
}
