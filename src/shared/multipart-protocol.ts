/** What crosses the boundary between isolates and shards for multipart uploads; see `protocol.ts`. */
import type { Answer, DirectCall, PutMetadata, ShardView, Stored } from "./protocol";

/** Parts are numbered from 1 to this. */
export const MAX_PART_NUMBER = 10_000;

/** Where an upload was begun. One that was begun in the queue has an id of ours, and its parts go to the queue. */
export type UploadOrigin = "r2" | "queue";

export interface OpenUploadRequest {
  readonly uploadId: string;
  readonly key: string;
  readonly origin: UploadOrigin;
  readonly metadata: PutMetadata;
}

export interface UploadPartRequest {
  readonly uploadId: string;
  readonly key: string;
  readonly partNumber: number;
  /** Bytes, if known before the stream ends. More or fewer is an error. */
  readonly size: number | null;
  /** Hex. The key of the upload, given again with each part. */
  readonly ssecKey: string | null;
}

/** A part as callers know it. Of a part in the queue the etag is its MD5, as in R2. */
export interface NamedPart {
  readonly partNumber: number;
  readonly etag: string;
}

/** A part that R2 has taken. Size and MD5 (hex) are null where the isolate could not tell them. */
export interface UploadedPart extends NamedPart {
  readonly size: number | null;
  readonly md5: string | null;
}

/** What a shard knows of an upload. `closed`: it was completed or aborted, whatever R2 says. */
export type UploadState = "open" | "closed" | "unknown";

export interface CompleteUploadRequest {
  readonly operationId: string;
  readonly uploadId: string;
  readonly key: string;
  readonly origin: UploadOrigin;
  /** In the caller's order. */
  readonly parts: readonly NamedPart[];
  /** False: the caller's write circuit admits nothing, so that it is queued at once. */
  readonly writable: boolean;
  /** How long the direct call may take: the life of the ticket. */
  readonly deadlineMs: number;
  readonly priority: number;
  readonly userId: string | null;
  readonly fileId: string | null;
  readonly maxRetries: number | null;
  readonly directCall: DirectCall | null;
  /** The R2 version that the caller itself wrote to the key last: older than this, whatever the clocks say. */
  readonly precededBy: string | null;
  /** The ticket of an earlier answer, given back. Then the answer is not `direct` again. */
  readonly ticket: string | null;
}

export type CompleteUploadReply = Answer<
  | { readonly verdict: "direct"; readonly ticket: string }
  | {
      readonly verdict: "queued";
      readonly stored: Stored;
      readonly metadata: PutMetadata;
      readonly shard: ShardView;
    }
>;
