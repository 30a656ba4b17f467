import { FailoverError } from "../shared/errors";
import { operationId } from "../shared/keys";

/** What a write may say besides R2's own options; used when it is queued. */
export interface WriteOptions {
  /** The client's part of the operation id, an idempotency key. Default: a random one. */
  readonly operationId?: string | undefined;
  /** 1 (first) to 10 (last), default 5. */
  readonly priority?: number | undefined;
  readonly userId?: string | number | undefined;
  readonly fileId?: string | number | undefined;
  /** Retries that are charged to the operation, 0-100. Default: the config's. */
  readonly maxRetries?: number | undefined;
  /** Bytes of a streamed body whose length the runtime does not know. */
  readonly size?: number | undefined;
}

export interface CheckedWriteOptions {
  readonly priority: number;
  readonly userId: string | null;
  readonly fileId: string | null;
  readonly maxRetries: number | null;
  /** The same at every attempt. */
  readonly clientPart: () => string;
}

const DEFAULT_PRIORITY = 5;

/** Throws `INVALID_REQUEST` in words that say what is allowed. */
export function checkWriteOptions(options: WriteOptions): CheckedWriteOptions {
  const { priority = DEFAULT_PRIORITY, userId, fileId, maxRetries, size } = options;
  checkWhole("priority", priority, 1, 10);
  if (maxRetries !== undefined) checkWhole("maxRetries", maxRetries, 0, 100);
  if (size !== undefined) checkWhole("size", size, 0, Number.MAX_SAFE_INTEGER);
  // Refused now, and not first in an outage. The key and the shards do not matter for that.
  if (options.operationId !== undefined) operationId("", 1, options.operationId);
  let clientPart = options.operationId;
  return {
    priority,
    userId: userId === undefined ? null : String(userId),
    fileId: fileId === undefined ? null : String(fileId),
    maxRetries: maxRetries ?? null,
    clientPart: () => {
      clientPart ??= crypto.randomUUID();
      return clientPart;
    },
  };
}

function checkWhole(name: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new FailoverError("INVALID_REQUEST", `${name} must be a whole number from ${minimum} to ${maximum}.`);
  }
}
