/** What R2's binding checks of parts, in its words, for uploads that the queue takes in. Pure. */
import { MAX_PART_NUMBER, type NamedPart } from "../shared/multipart-protocol";
import type { PutValue } from "./write-body";

/** What R2 takes as a part. */
export type PartValue = Exclude<PutValue, null>;

const INT32 = { minimum: -(2 ** 31), maximum: 2 ** 31 - 1 };

/** The number as R2 reads it: a fraction is cut off. Throws R2's `TypeError`. */
export function checkPartNumber(given: number): number {
  const value = Math.trunc(Number(given)) || 0;
  if (value < INT32.minimum || value > INT32.maximum) {
    throw new TypeError(`Value out of range. Must be between ${INT32.minimum} and ${INT32.maximum} (inclusive).`);
  }
  if (value >= 1 && value <= MAX_PART_NUMBER) return value;
  throw new TypeError(`Part number must be between 1 and ${MAX_PART_NUMBER} (inclusive). Actual value was: ${value}`);
}

/** Throws R2's `TypeError`. */
export function checkPartValue(value: unknown): void {
  if (typeof value === "string" || ArrayBuffer.isView(value)) return;
  if (value instanceof ReadableStream || value instanceof ArrayBuffer || value instanceof Blob) return;
  throw new TypeError(
    "Failed to execute 'uploadPart' on 'R2MultipartUpload': parameter 2 is not of type 'JsReadableStream or ArrayBuffer or ArrayBufferView or string or Blob'.",
  );
}

/** The parts that a completion names, in the caller's order. Throws what R2 throws. */
export function namedParts(parts: readonly R2UploadedPart[]): NamedPart[] {
  if (!Array.isArray(parts)) {
    throw new TypeError("Failed to execute 'complete' on 'R2MultipartUpload': parameter 1 is not of type 'Array'.");
  }
  const named = parts.map((part, index) => {
    if (typeof part !== "object" || part === null) {
      throw new TypeError(
        `Incorrect type for array element ${index}: the provided value is not of type 'UploadedPart'.`,
      );
    }
    return { partNumber: checkPartNumber(part.partNumber), etag: String(part.etag) };
  });
  // R2 has no word for it but this one, which would count as its own failure.
  if (new Set(named.map(({ partNumber }) => partNumber)).size < named.length) {
    throw new Error("completeMultipartUpload: We encountered an internal error. Please try again. (10001)");
  }
  return named;
}
