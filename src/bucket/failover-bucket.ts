import type { FailoverEnv } from "../shared/env";
import { remove } from "./delete-path";
import { createUpload, FailoverUpload } from "./failover-upload";
import type { ListOptions } from "./list-options";
import { type FailoverObjects, type Listing, list } from "./list-path";
import { textOf } from "./r2-arguments";
import { type Found, readHead, readObject } from "./read-path";
import { type BucketOptions, openSession, type Session } from "./session";
import type { PutValue } from "./write-body";
import type { WriteOptions } from "./write-options";
import type { DeleteOutcome, PutOutcome } from "./write-outcome";
import { write } from "./write-path";

export type { FailoverUpload } from "./failover-upload";
export type { ListOptions } from "./list-options";
export type { BucketOptions } from "./session";
export type { WriteOptions } from "./write-options";

/**
 * An `R2Bucket` that outlives R2: what R2 does not take is durably queued, readable at once, and written to R2 when it
 * is back. Results of R2 pass through untouched. What was queued says so: `queued: true` and its `operationId`.
 *
 * Its methods mean what they mean in R2. `write`, `read`, `stat`, `remove`, `browse`, and `finish` of an upload, do the
 * same and tell what became of it. All reject with R2's own errors where the caller is at fault, else with a `FailoverError`.
 */
export class FailoverBucket implements R2Bucket {
  // Options may be null, as R2 takes them from JavaScript: hence no defaults of parameters.
  readonly #session: Session;

  /** Throws a `FailoverError` that names a missing binding, or for an unknown service. */
  constructor(env: FailoverEnv, options: BucketOptions = {}) {
    this.#session = openSession(env, options);
  }

  put(
    key: string,
    value: PutValue,
    options: R2PutOptions & WriteOptions & { onlyIf: R2Conditional | Headers },
  ): Promise<R2Object | null>;
  put(key: string, value: PutValue, options?: R2PutOptions & WriteOptions): Promise<R2Object>;
  async put(key: string, value: PutValue, options?: R2PutOptions & WriteOptions): Promise<R2Object | null> {
    const outcome = await write(this.#session, key, value, options ?? {});
    return outcome.kind === "condition_failed" ? null : outcome.object;
  }

  get(
    key: string,
    options: R2GetOptions & { onlyIf: R2Conditional | Headers },
  ): Promise<R2ObjectBody | R2Object | null>;
  get(key: string, options?: R2GetOptions): Promise<R2ObjectBody | null>;
  async get(key: string, options?: R2GetOptions): Promise<R2ObjectBody | R2Object | null> {
    return (await readObject(this.#session, key, options ?? {})).object;
  }

  async head(key: string): Promise<R2Object | null> {
    return (await readHead(this.#session, key)).object;
  }

  async delete(keys: string | string[], options?: WriteOptions): Promise<void> {
    await remove(this.#session, keys, options ?? {});
  }

  /** `put` that tells what became of it. */
  write(key: string, value: PutValue, options: R2PutOptions & WriteOptions = {}): Promise<PutOutcome> {
    return write(this.#session, key, value, options);
  }

  /** `delete` that tells what became of it. */
  remove(keys: string | readonly string[], options: WriteOptions = {}): Promise<DeleteOutcome> {
    return remove(this.#session, keys, options);
  }

  /** `list` that tells where the answer came from. */
  browse(options?: R2ListOptions & ListOptions): Promise<Listing> {
    return list(this.#session, options);
  }

  /** `get` that tells where the answer came from. */
  read(key: string, options: R2GetOptions = {}): Promise<Found<R2Object | R2ObjectBody>> {
    return readObject(this.#session, key, options);
  }

  /** `head` that tells where the answer came from. */
  stat(key: string): Promise<Found<R2Object>> {
    return readHead(this.#session, key);
  }

  /** Queued writes are listed with what R2 holds. While R2 cannot be listed this rejects, unless `allowPartial`. */
  async list(options?: R2ListOptions & ListOptions): Promise<FailoverObjects> {
    return (await list(this.#session, options)).result;
  }

  async createMultipartUpload(key: string, options: R2MultipartOptions = {}): Promise<FailoverUpload> {
    return new FailoverUpload(this.#session, await createUpload(this.#session, textOf(key), options));
  }

  /** As in R2, nothing is checked: an upload that is not there is found out when it is used. */
  resumeMultipartUpload(key: string, uploadId: string): FailoverUpload {
    return new FailoverUpload(this.#session, { key: textOf(key), uploadId: textOf(uploadId) });
  }
}
