import { MAX_KEY_BYTES, shardOfOperation } from "../../src/shared/keys";
import type { EnqueueRequest, Refusal } from "../../src/shared/protocol";
import type { Payload } from "./payload";
import { refusal } from "./refusals";

const invalid = (message: string): Refusal => refusal("INVALID_REQUEST", message);

/**
 * What is wrong with a request, or null. The library has checked most of it; the queue checks again, because what it
 * stores is applied later, when nobody is left to be told.
 */
export function requestProblem(request: EnqueueRequest, body: Payload | null): Refusal | null {
  const problem = keyProblem(request.key) ?? operationProblem(request);
  if (problem !== null) return problem;
  if (request.kind === "put" && (body === null || request.metadata === null))
    return invalid("A put has a body and metadata.");
  if (request.kind === "delete" && body !== null) return invalid("A delete has no body.");
  return null;
}

export function keyProblem(key: string): Refusal | null {
  const bytes = new TextEncoder().encode(key).byteLength;
  if (bytes > 0 && bytes <= MAX_KEY_BYTES) return null;
  return invalid(`A key has 1 to ${MAX_KEY_BYTES} bytes, not ${bytes}.`);
}

/** What all operations have in common. */
export function operationProblem(
  request: Pick<EnqueueRequest, "operationId" | "priority" | "maxRetries">,
): Refusal | null {
  const { operationId, priority, maxRetries } = request;
  if (shardOfOperation(operationId) === null) return invalid("This is no operation id.");
  if (!Number.isInteger(priority) || priority < 1 || priority > 10) {
    return invalid("A priority is a whole number, 1 to 10.");
  }
  if (maxRetries !== null && (!Number.isInteger(maxRetries) || maxRetries < 0 || maxRetries > 100)) {
    return invalid("max_retries is a whole number, 0 to 100.");
  }
  return null;
}
