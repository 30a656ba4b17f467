/**
 * Our cursors. R2's own are opaque, so that nothing could be said of where among the queued writes they stand. Ours say
 * where a page ended, and carry R2's own cursor where R2 alone made the page. Pure.
 */
/** Not of base64: no cursor of R2's begins so. */
const MARK = "r2f.";

export interface ListPosition {
  /** The page's last object or delimited prefix. */
  readonly kind: "object" | "prefix";
  readonly name: string;
  /** R2's cursor for the same place; null where the queue had a part in the page. */
  readonly native: string | null;
}

export function encodeCursor({ kind, name, native }: ListPosition): string {
  const bytes = new TextEncoder().encode(JSON.stringify([kind, name, native]));
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return MARK + base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Null: no cursor of ours. R2 then says what it thinks of it. */
export function decodeCursor(cursor: string): ListPosition | null {
  if (!cursor.startsWith(MARK)) return null;
  try {
    const binary = atob(cursor.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const [kind, name, native]: unknown[] = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    );
    const isOurs = (kind === "object" || kind === "prefix") && typeof name === "string";
    if (isOurs && (native === null || typeof native === "string")) return { kind, name, native };
  } catch {
    // Cut short, or made up.
  }
  return null;
}
