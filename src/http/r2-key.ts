import { FailoverError } from "../shared/errors";
import { MAX_KEY_BYTES, RESERVED_PREFIX } from "../shared/keys";
import { decodePart } from "./input";

/**
 * The object key that the rest of a path names, percent-decoded once. Throws `INVALID_REQUEST`.
 *
 * The URL standard resolves `.` and `..` segments, also as `%2e`, before a Worker sees the path. A key that holds one
 * travels with its slashes escaped: `a%2F..%2Fb`.
 */
export function objectKey(escaped: string): string {
  const key = decodePart(escaped);
  if (key === "") throw new FailoverError("INVALID_REQUEST", "The key is empty. Name one: /r2/<key>.");
  const size = new TextEncoder().encode(key).byteLength;
  if (size > MAX_KEY_BYTES) {
    throw new FailoverError("INVALID_REQUEST", `The key has ${size} bytes of UTF-8; ${MAX_KEY_BYTES} is the most.`);
  }
  if (key.startsWith(RESERVED_PREFIX)) {
    throw new FailoverError("INVALID_REQUEST", `Keys below ${RESERVED_PREFIX} are reserved.`);
  }
  return key;
}
