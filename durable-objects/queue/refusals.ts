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

/** R2's own words for a multipart upload that is not there, or is closed. */
export const noSuchUpload = (action: UploadAction): Refusal =>
  r2Refusal(`${action}: The specified multipart upload does not exist.`, 10024);

type UploadAction = "uploadPart" | "completeMultipartUpload";

export const invalidPart = (): Refusal =>
  r2Refusal("completeMultipartUpload: One or more of the specified parts could not be found.", 10025);

export const entityTooSmall = (): Refusal =>
  r2Refusal("completeMultipartUpload: Your proposed upload is smaller than the minimum allowed object size.", 10011);

export const unequalParts = (): Refusal =>
  r2Refusal("completeMultipartUpload: There was a problem with the multipart upload.", 10048);

export const otherCustomerKey = (): Refusal =>
  r2Refusal("uploadPart: The upload is encrypted with another customer key than the one given.", 10069);

export const unknownUpload = (): Refusal =>
  refusal(
    "SERVICE_UNAVAILABLE",
    "R2 does not take it now, and the queue does not know this upload: it can go on only when R2 is back.",
    UPLOAD_RETRY_AFTER_S,
  );

export const unrecordedParts = (partNumbers: readonly number[]): Refusal => {
  const [first, ...others] = partNumbers;
  const which = others.length === 0 ? `part ${first}` : `${partNumbers.length} parts, ${first} the first of them`;
  return refusal(
    "SERVICE_UNAVAILABLE",
    `The upload cannot be completed now: of ${which}, only R2 knows. Try again when R2 is back, or upload again what is missing.`,
    UPLOAD_RETRY_AFTER_S,
  );
};

export const uploadChanging = (): Refusal =>
  refusal("SERVICE_UNAVAILABLE", "The upload's parts are changing while it is completed. Try again in a moment.", 1);

const UPLOAD_RETRY_AFTER_S = 5;

function r2Refusal(message: string, r2Code: number): Refusal {
  return { ok: false, code: "INVALID_REQUEST", r2Code, message: `${message} (${r2Code})` };
}

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
