/** Bounds on what a request brings before its body; bodies have their own. */
import { type Problem, problem } from "./problem";

/** Names and values together. R2 takes 8 KiB of metadata; the rest is tokens and cookies. */
const MAX_HEADER_BYTES = 32 * 1024;
/** A key has at most 3 KiB when it is escaped, and a list's query several of them. */
const MAX_URL_LENGTH = 16 * 1024;

/** Null: the request may go on. */
export function tooLarge(request: Request): Problem | null {
  if (request.url.length > MAX_URL_LENGTH) {
    return problem("URI_TOO_LONG", `A URL has at most ${MAX_URL_LENGTH} characters.`);
  }
  let size = 0;
  for (const [name, value] of request.headers) size += name.length + value.length;
  if (size <= MAX_HEADER_BYTES) return null;
  return problem("HEADERS_TOO_LARGE", `The headers have at most ${MAX_HEADER_BYTES} bytes together.`);
}
