/** Tar archives piece by piece (POSIX.1-1988 ustar, with pax headers where ustar has no room). Pure. */

const BLOCK = 512;
const NAME_BYTES = 100;
/** Eleven octal digits. */
const MAX_USTAR_SIZE = 8 ** 11 - 1;

const encoder = new TextEncoder();

/** Two empty blocks: a reader that does not find them knows that the archive was cut off. */
export const TAR_END = new Uint8Array(2 * BLOCK);

/** What stands before a file's bytes. `name` is ASCII; `modifiedAt` in ms. */
export function tarHead(name: string, size: number, modifiedAt: number): Uint8Array {
  const records = [
    ...(name.length > NAME_BYTES ? [paxRecord("path", name)] : []),
    ...(size > MAX_USTAR_SIZE ? [paxRecord("size", String(size))] : []),
  ];
  const header = block(name.slice(0, NAME_BYTES), Math.min(size, MAX_USTAR_SIZE), modifiedAt, "0");
  if (records.length === 0) return header;
  const pax = encoder.encode(records.join(""));
  return joined([block("pax", pax.byteLength, modifiedAt, "x"), pax, tarPadding(pax.byteLength), header]);
}

/** What stands after a file's bytes, to the end of their last block. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);
}

/** A small file as a whole. */
export function tarFile(name: string, text: string, modifiedAt: number): Uint8Array {
  const bytes = encoder.encode(text);
  return joined([tarHead(name, bytes.byteLength, modifiedAt), bytes, tarPadding(bytes.byteLength)]);
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return `${length}${rest}`;
}

function block(name: string, size: number, modifiedAt: number, type: "0" | "x"): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const put = (offset: number, text: string) => bytes.set(encoder.encode(text), offset);
  const octal = (value: number, digits: number) => `${Math.floor(value).toString(8).padStart(digits, "0")}\0`;
  put(0, name);
  put(100, octal(0o600, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(modifiedAt / 1_000, 11));
  // The checksum is taken with blanks in its own place.
  put(148, "        ");
  put(156, type);
  put(257, "ustar\0" + "00");
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
