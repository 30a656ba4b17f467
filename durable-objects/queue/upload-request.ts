/** What is wrong with requests about multipart uploads. As with writes, the queue checks again what the library has. */
import { type CompleteUploadRequest, MAX_PART_NUMBER } from "../../src/shared/multipart-protocol";
import type { Refusal } from "../../src/shared/protocol";
import { refusal } from "./refusals";
import { keyProblem, operationProblem } from "./request-problem";

const MAX_ID_CHARACTERS = 1_024;

const invalid = (message: string): Refusal => refusal("INVALID_REQUEST", message);

export function uploadProblem({ key, uploadId }: { readonly key: string; readonly uploadId: string }): Refusal | null {
  const problem = keyProblem(key);
  if (problem !== null) return problem;
  if (uploadId.length > 0 && uploadId.length <= MAX_ID_CHARACTERS) return null;
  return invalid(`An upload id has 1 to ${MAX_ID_CHARACTERS} characters, not ${uploadId.length}.`);
}

export function partProblem(partNumber: number): Refusal | null {
  if (Number.isInteger(partNumber) && partNumber >= 1 && partNumber <= MAX_PART_NUMBER) return null;
  return invalid(`A part number is a whole number, 1 to ${MAX_PART_NUMBER}.`);
}

export function completionProblem(request: CompleteUploadRequest): Refusal | null {
  const problem = uploadProblem(request) ?? operationProblem(request);
  if (problem !== null) return problem;
  const numbers = new Set<number>();
  for (const { partNumber } of request.parts) {
    const wrong = partProblem(partNumber);
    if (wrong !== null) return wrong;
    numbers.add(partNumber);
  }
  return numbers.size === request.parts.length ? null : invalid("Each part of a completion is named once.");
}
