/** What the queue says no to, in words that tell what to do next. */
import type { FailoverErrorCode } from "../../src/shared/errors";
import type { ChecksumAlgorithm, Refusal } from "../../src/shared/protocol";

export function refusal(code: FailoverErrorCode, message: string, retryAfter?: number): Refusal {
  return retryAfter === undefined ? { ok: false, code, message } : { ok: false, code, message, retryAfter };
}

export const queueFull = (retryAfter: number): Refusal =>
  refusal(
    "QUEUE_FULL",
    "R2 did not take the write and the queue is full. Nothing was stored; try again later.",
    retryAfter,
  );

export const payloadTooLarge = (limit: number): Refusal =>
  refusal("PAYLOAD_TOO_LARGE", `The payload is larger than the queue may ever hold (${limit} bytes).`);

export const beingReceived = (): Refusal =>
  refusal("SERVICE_UNAVAILABLE", "An operation with this id is being received right now. Try again in a moment.", 1);

export const idReused = (): Refusal =>
  refusal("OPERATION_ID_REUSED", "This operation id names another write. Use a new id for a new write.");

export const conditionUnverifiable = (): Refusal =>
  refusal(
    "CONDITION_UNVERIFIABLE",
    "The condition cannot be decided: R2 does not answer, and nothing is known of the key.",
    5,
  );

export const ssecNeedsEncryption = (): Refusal =>
  refusal(
    "SSEC_NEEDS_ENCRYPTION",
    "R2 did not take the write, and a customer key is not queued without PAYLOAD_ENCRYPTION_KEY.",
  );

export const wrongSize = (expected: number, got: number): Refusal =>
  refusal("INVALID_REQUEST", `The body has ${got} bytes where ${expected} were announced.`);

const NAMES: Readonly<Record<ChecksumAlgorithm, string>> = {
  md5: "MD5",
  sha1: "SHA-1",
  sha256: "SHA-256",
  sha384: "SHA-384",
  sha512: "SHA-512",
};

/** R2's own words for a checksum that does not match. */
export function badDigest(algorithm: ChecksumAlgorithm, given: string, computed: string): Refusal {
  const name = NAMES[algorithm];
  return {
    ok: false,
    code: "INVALID_REQUEST",
    r2Code: 10037,
    message:
      `put: The ${name} checksum you specified did not match what we received.\n` +
      `You provided a ${name} checksum with value: ${given}\nActual ${name} was: ${computed} (10037)`,
  };
}
