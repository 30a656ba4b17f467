/** Multipart uploads as a shard is asked for them. */
import { expect } from "vitest";
import { queueUploadId } from "../../../src/shared/keys";
import type {
  CompleteUploadReply,
  CompleteUploadRequest,
  NamedPart,
  UploadOrigin,
  UploadPartRequest,
} from "../../../src/shared/multipart-protocol";
import type { Answer, PutMetadata } from "../../../src/shared/protocol";
import { idOf, PLAIN, shard } from "./support";

export interface Opened {
  readonly n: number;
  readonly key: string;
  readonly uploadId: string;
  readonly origin: UploadOrigin;
}

export async function open(n: number, key: string, changes: Partial<PutMetadata> = {}): Promise<Opened> {
  const upload = { n, key, uploadId: queueUploadId(), origin: "queue" as const };
  expect(await openAgain(upload, changes)).toBeNull();
  return upload;
}

export const openAgain = async ({ n, key, uploadId, origin }: Opened, changes: Partial<PutMetadata> = {}) =>
  await shard(n).openUpload({ uploadId, key, origin, metadata: { ...PLAIN, ...changes } });

export async function send(
  { n, key, uploadId }: Opened,
  partNumber: number,
  body: Uint8Array | ReadableStream<Uint8Array>,
  changes: Partial<UploadPartRequest> = {},
) {
  const request = { uploadId, key, partNumber, size: null, ssecKey: null, ...changes };
  return (await shard(n).uploadPart(request, body)) as Answer<{ part: NamedPart }>;
}

export async function part(upload: Opened, partNumber: number, body: Uint8Array): Promise<NamedPart> {
  const answer = await send(upload, partNumber, body);
  if (!answer.ok) throw new Error(answer.message);
  return answer.part;
}

export async function complete(
  { n, key, uploadId, origin }: Opened,
  parts: readonly NamedPart[],
  changes: Partial<CompleteUploadRequest> = {},
): Promise<CompleteUploadReply> {
  const reply = await shard(n).completeUpload({
    ...{
      operationId: idOf(key, "complete"),
      uploadId,
      key,
      origin,
      parts,
      writable: true,
      deadlineMs: 200,
      priority: 5,
    },
    ...{ userId: null, fileId: null, maxRetries: null, directCall: null, precededBy: null, ticket: null },
    ...changes,
  });
  return reply as CompleteUploadReply;
}
