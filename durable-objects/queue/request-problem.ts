import { shardOfOperation } from "../../src/shared/keys";
import type { EnqueueRequest, Refusal } from "../../src/shared/protocol";
import type { Payload } from "./payload";
import { refusal } from "./refusals";

const MAX_KEY_BYTES = 1_024;

/**
 * What is wrong with a request, or null. The library has checked most of it; the queue checks again, because what it
 * stores is applied later, when nobody is left to be told.
 */
export function requestProblem(request: EnqueueRequest, body: Payload | null): Refusal | null {
  const say = (message: string) => refusal("INVALID_REQUEST", message);
  const keyBytes = new TextEncoder().encode(request.key).byteLength;
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES) return say(`A key has 1 to ${MAX_KEY_BYTES} bytes, not ${keyBytes}.`);
  if (shardOfOperation(request.operationId) === null) return say("This is no operation id.");
  const { priority } = request;
  if (!Number.isInteger(priority) || priority < 1 || priority > 10)
    return say("A priority is a whole number, 1 to 10.");
  const { maxRetries } = request;
  if (maxRetries !== null && (!Number.isInteger(maxRetries) || maxRetries < 0 || maxRetries > 100)) {
    return say("max_retries is a whole number, 0 to 100.");
  }
  if (request.kind === "put" && (body === null || request.metadata === null))
    return say("A put has a body and metadata.");
  if (request.kind === "delete" && body !== null) return say("A delete has no body.");
  return null;
}
