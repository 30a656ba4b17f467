/** R2 objects made from what the queue has stored: the same bytes, metadata and etag that R2 will hold after the drain. */
import type { PutMetadata, Stored } from "../shared/protocol";
import { MadeObject, MadeObjectBody, type ObjectFacts } from "./made-object";
import type { ByteRange } from "./ranges";

/** A queued write as an R2Object. Until the drain it has no version of R2's: `version` is its operation id. */
export class QueuedObject extends MadeObject {
  readonly queued = true;
  readonly operationId: string;

  constructor(stored: Stored, metadata: PutMetadata | null, range?: ByteRange) {
    super(factsOf(stored, metadata), range);
    this.operationId = stored.operationId;
  }
}

/** A queued write with its bytes. */
export class QueuedObjectBody extends MadeObjectBody {
  readonly queued = true;
  readonly operationId: string;

  constructor(
    stored: Stored,
    metadata: PutMetadata | null,
    range: ByteRange,
    body: Uint8Array | ReadableStream<Uint8Array>,
  ) {
    super(factsOf(stored, metadata), range, body);
    this.operationId = stored.operationId;
  }
}

function factsOf(stored: Stored, metadata: PutMetadata | null): ObjectFacts {
  return {
    key: stored.key,
    version: stored.operationId,
    size: stored.size,
    etag: stored.etag,
    uploaded: stored.enqueuedAt,
    checksums: stored.checksums,
    httpMetadata: metadata?.httpMetadata ?? {},
    customMetadata: metadata?.customMetadata ?? {},
    storageClass: metadata?.storageClass ?? "Standard",
  };
}
