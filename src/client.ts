/** What application Workers import. */

export type { Stale } from "./bucket/cached-object";
export { type BucketOptions, FailoverBucket, type FailoverUpload, type WriteOptions } from "./bucket/failover-bucket";
export type { Found } from "./bucket/read-path";
export type { DeleteOutcome, PutOutcome, ReadSource } from "./bucket/write-outcome";
export { DEFAULT_SERVICE, type FailoverEnv } from "./shared/env";
export { FailoverError, type FailoverErrorCode, isFailoverError } from "./shared/errors";
export type * from "./shared/records";
