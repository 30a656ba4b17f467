/**
 * What crosses the boundary between isolates (FailoverBucket) and objects, and between objects.
 *
 * Plain structured-cloneable data only. Times are epoch milliseconds of the side that wrote them; where two clocks
 * would be compared, a duration (`…Ms`) is sent instead. Errors are values, because an error thrown across an object
 * call loses its class and properties.
 */
import type { EffectiveConfig } from "./config";
import type { FailoverErrorCode } from "./errors";

export type OperationClass = "read" | "write";
export const OPERATION_CLASSES = ["read", "write"] as const;

export const CIRCUIT_STATES = ["CLOSED", "OPEN", "HALF_OPEN", "FORCED_OPEN", "FORCED_CLOSED", "METRICS_ONLY"] as const;
export type CircuitState = (typeof CIRCUIT_STATES)[number];

/** `failure`: the service's fault. `throttled`: back off, no outage. `ignored`: the caller's own. Only `failure` moves a circuit. */
export type Outcome = "success" | "failure" | "throttled" | "ignored";

/** A refusal is a value. The caller's side turns it into a `FailoverError`. */
export interface Refusal {
  readonly ok: false;
  readonly code: FailoverErrorCode;
  readonly message: string;
  readonly retryAfter?: number;
  /** Set when this is R2's own refusal of the caller's input: `message` is then R2's, to be thrown as R2 throws it. */
  readonly r2Code?: number;
}
export type Answer<T> = ({ readonly ok: true } & T) | Refusal;

// ── Isolate ⇄ ServiceDO ─────────────────────────────────────────────────────────────────────────────────────────

/** After a circuit closed: the share of calls admitted climbs from `from` to 1 over `durationMs`. */
export interface Ramp {
  readonly from: number;
  readonly startedAt: number;
  readonly durationMs: number;
}

/** One circuit as others see it. */
export interface CircuitView {
  readonly state: CircuitState;
  /** Rises with every change of state; a permit of an older generation moves nothing. */
  readonly generation: number;
  readonly openUntil: number | null;
  readonly ramp: Ramp | null;
  /** HALF_OPEN of a service without probes: the share of all calls that are trials, 0-1. */
  readonly trialRatio?: number;
}

/** What a shard holds: nothing, something for the listed key hashes, or too much to list. */
export type BusyKeys = readonly number[] | "all";
export interface ShardView {
  readonly shard: number;
  readonly epoch: number;
  /** `null`: calm. */
  readonly busy: BusyKeys | null;
}

/** The methods of the R2 binding that a fault or a counter can name. */
export const BUCKET_METHODS = [
  "put",
  "get",
  "head",
  "delete",
  "list",
  "createMultipartUpload",
  "uploadPart",
  "complete",
  "abort",
] as const;
export type BucketMethod = (typeof BUCKET_METHODS)[number];

/** The class whose circuit a method's outcome feeds. */
export function methodClass(method: BucketMethod): OperationClass {
  return method === "get" || method === "head" || method === "list" ? "read" : "write";
}

/** An injected fault (API.md, Records). All that a matching rule says applies, with probability `error_rate`. */
export interface FaultRule {
  readonly operations: readonly BucketMethod[] | OperationClass | "all";
  /** Only calls on keys that begin so: one poison object among healthy ones. */
  readonly key_prefix?: string;
  /** 0-1, default 1. */
  readonly error_rate?: number;
  /** R2's code; default 10001 unless the rule only delays. */
  readonly error_code?: number;
  readonly latency_ms?: number;
  /** Never answers, and never reaches R2. */
  readonly hang?: boolean;
  /** A get ends early, with an error, after half of its bytes. */
  readonly truncate_body?: boolean;
  /** R2 commits, then the reply is lost ("Network connection lost."). */
  readonly lose_reply?: boolean;
  /** With `latency_ms` beyond the deadline: the call is given up, and still lands. */
  readonly land_late?: boolean;
  /** ISO 8601. Without it, until deleted. */
  readonly expires_at?: string;
}

/** The state of a service that an isolate keeps in memory. Never goes back: see `circuit/snapshot.ts`. */
export interface Snapshot {
  readonly service: string;
  /** Identity of the ServiceDO's storage; another one means that storage was lost. */
  readonly storageId: string;
  /** Monotone within one `storageId`. */
  readonly version: number;
  readonly issuedAt: number;
  /** Counted by the isolate from the moment it *sent* the request. */
  readonly leaseMs: number;
  /** The isolate reports at the latest when it holds this many outcomes. */
  readonly reportAfterOutcomes: number;
  /** Isolates that share the request budget: of many, only a sample reports its first failure at once. */
  readonly activeIsolates?: number;
  readonly circuits: Readonly<Record<OperationClass, CircuitView>>;
  readonly readOnly: boolean;
  /** Number of queue shards, fixed for good at first use. */
  readonly shardCount: number;
  /** Every shard that was ever busy. A shard that is not listed is calm at epoch 0. */
  readonly shards: readonly ShardView[];
  readonly config: EffectiveConfig;
  readonly faults: readonly FaultRule[];
  /** R2's clock minus the objects', ms. */
  readonly clockOffsetMs: number;
}

/** Counts since the reporter's previous report. */
export interface ClassCounts {
  success: number;
  failure: number;
  throttled: number;
  ignored: number;
  /** Failures since the last success, as the reporter sees it now. */
  consecutiveFailures: number;
  /** Calls per latency bucket; bounds in `shared/latency.ts`. */
  latency: number[];
}

/** Calls that were answered without R2, since the previous report. */
export interface FailoverCounts {
  readonly queuedWrites: number;
  readonly queuedReads: number;
  readonly cachedReads: number;
}

export const NO_FAILOVERS: FailoverCounts = { queuedWrites: 0, queuedReads: 0, cachedReads: 0 };

export interface IsolateReport {
  /** Random per isolate, or `shard:<n>` for a QueueDO. */
  readonly reporter: string;
  readonly counts: Readonly<Record<OperationClass, ClassCounts>>;
  /** The reporter's own circuits. */
  readonly circuits: Readonly<Record<OperationClass, CircuitState>>;
  /** Calls that reached the raw binding or the fault injector, since the previous report. */
  readonly bucketCalls: Readonly<Partial<Record<BucketMethod, number>>>;
  /** Calls refused by an open circuit, since the previous report. */
  readonly rejected: Readonly<Record<OperationClass, number>>;
  /** Reports that failed since the last one that was answered. */
  readonly failedReports: number;
  /** A shard answers no calls, and leaves it out. */
  readonly failovers?: FailoverCounts | undefined;
}

// ── QueueDO ⇄ ServiceDO ─────────────────────────────────────────────────────────────────────────────────────────

/** How full a shard is. */
export interface ShardUsage {
  readonly pending: number;
  readonly processing: number;
  readonly failed: number;
  readonly bytes: number;
  /** `created_at` of the oldest pending operation. */
  readonly oldestAt: number | null;
  readonly completed: number;
  readonly cancelled: number;
  readonly superseded: number;
  /** Operations accepted since the shard was first used, and those of them that retention has ended. */
  readonly accepted?: number;
  readonly swept?: number;
}

/** A shard tells what it holds. Idempotent; an older epoch is ignored, the same one widens and refreshes. */
export interface ShardNotice {
  readonly shard: number;
  readonly epoch: number;
  readonly busy: BusyKeys;
  readonly usage: ShardUsage;
  /** The quota that the shard wants in all. */
  readonly wanted: ShardQuota;
}

/** How much a shard may hold: its part of `max_queue_size` and `max_queue_bytes`. */
export interface ShardQuota {
  readonly operations: number;
  readonly bytes: number;
}

export interface NoticeReply {
  /** The quota granted in all; at least what was granted before and is in use. */
  readonly quota: ShardQuota;
  /** In this time every lease has run out whose snapshot did not show this epoch. */
  readonly leasesEndInMs: number;
  readonly terms: DrainTerms;
}

/** A shard became calm. Compare-and-set on the epoch: a newer busy notice wins. */
export interface CalmNotice {
  readonly shard: number;
  readonly epoch: number;
  readonly usage: ShardUsage;
}

/** What a shard must know to drain, and keeps for when the ServiceDO does not answer. */
export interface DrainTerms {
  readonly storageId: string;
  readonly version: number;
  readonly shardCount: number;
  readonly circuits: Readonly<Record<OperationClass, CircuitView>>;
  readonly paused: boolean;
  readonly config: EffectiveConfig;
  readonly faults: readonly FaultRule[];
  readonly clockOffsetMs: number;
  /** When a probe, or a drained operation, last succeeded in writing (objects' clock). Null: never. */
  readonly lastWriteSuccessAt: number | null;
}

/** What an export of a shard holds: operations up to `lastId` that were live at `at` (ms). */
export interface ExportCut {
  readonly lastId: number;
  readonly at: number;
  readonly operations: number;
  readonly manifestBytes: number;
}

export interface DrainRequest {
  readonly shard: number;
  readonly report: IsolateReport;
  readonly usage: ShardUsage;
  /** Operations that are ready. */
  readonly ready: number;
}

/** One drain budget for all shards: how many operations this shard may have in flight until it asks again. */
export interface DrainGrant {
  readonly terms: DrainTerms;
  /** 0: hold, and ask again in `retryMs`. */
  readonly concurrency: number;
  /** Operations that the grant is good for. */
  readonly operations: number;
  readonly retryMs: number;
}

// ── Isolate ⇄ QueueDO ───────────────────────────────────────────────────────────────────────────────────────────

export type OperationKind = "put" | "delete";
export const OPERATION_STATUSES = ["PENDING", "PROCESSING", "COMPLETED", "CANCELLED", "SUPERSEDED", "FAILED"] as const;
export type OperationStatus = (typeof OPERATION_STATUSES)[number];

export const CHECKSUM_ALGORITHMS = ["md5", "sha1", "sha256", "sha384", "sha512"] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

/** The options of a put in plain form, as they are stored and given to R2 again. */
export interface PutMetadata {
  readonly httpMetadata: R2HTTPMetadata;
  readonly customMetadata: Readonly<Record<string, string>>;
  /** The checksum that the caller gave, hex. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly hex: string } | null;
  readonly storageClass: string | null;
  /** Hex. Stored only under `PAYLOAD_ENCRYPTION_KEY`. */
  readonly ssecKey: string | null;
}

/** `R2Conditional` in plain form; etags without quotes. */
export interface PlainCondition {
  readonly etagMatches?: readonly string[];
  readonly etagDoesNotMatch?: readonly string[];
  readonly uploadedBefore?: number;
  readonly uploadedAfter?: number;
  readonly secondsGranularity?: boolean;
}

/** A direct R2 call that failed or was given up before its write came to the queue. */
export interface DirectCall {
  /** Made by the caller, so that a repeated enqueue names the same call. */
  readonly callId: string;
  /** How long ago it started, and in how many ms its fence T passes (0: R2 has answered, nothing can land later). */
  readonly startedMsAgo: number;
  readonly fenceInMs: number;
}

export interface EnqueueRequest {
  readonly operationId: string;
  readonly kind: OperationKind;
  readonly key: string;
  /** 1 (first) to 10 (last). */
  readonly priority: number;
  readonly userId: string | null;
  readonly fileId: string | null;
  readonly maxRetries: number | null;
  /** Null for a delete. */
  readonly metadata: PutMetadata | null;
  /** Bytes, if known before the stream ends. More or fewer is an error. */
  readonly size: number | null;
  readonly directCall: DirectCall | null;
  /** The R2 version that the caller itself wrote to the key last: older than this write, whatever the clocks say. */
  readonly precededBy?: string | null;
  /** The ticket of `ask`, given back. */
  readonly ticket: string | null;
  readonly condition: PlainCondition | null;
  /** Whether R2 may be asked (`head`) to decide a condition: false while the read circuit is open. */
  readonly readable: boolean;
}

/** What the shard stored; from it the caller makes an R2Object. */
export interface Stored {
  readonly operationId: string;
  readonly status: OperationStatus;
  readonly key: string;
  readonly size: number;
  /** MD5, hex. Empty for a delete. */
  readonly etag: string;
  readonly checksums: Readonly<Partial<Record<ChecksumAlgorithm, string>>>;
  readonly enqueuedAt: number;
}

export type EnqueueReply = Answer<
  | ({ readonly verdict: "queued" } & { readonly stored: Stored; readonly shard: ShardView })
  | { readonly verdict: "condition_failed" }
>;

/** Deletes and conditional puts ask before they call R2, because R2 cannot fence them. */
export interface AskRequest {
  readonly kind: "delete" | "conditional_put";
  readonly items: readonly { readonly key: string; readonly operationId: string }[];
  /** False: the caller's write circuit admits nothing, so a delete is queued at once and no ticket is given. */
  readonly writable: boolean;
  /** How long the direct call may take: the life of the ticket. */
  readonly deadlineMs: number;
  readonly priority: number;
  readonly userId: string | null;
}

/** `direct`: call R2 now; the ticket keeps the drain off the key. `enqueue`: a conditional put sends its payload. */
export type AskVerdict =
  | { readonly verdict: "direct"; readonly ticket: string }
  | { readonly verdict: "queued"; readonly stored: Stored }
  | { readonly verdict: "enqueue" }
  | { readonly verdict: "refused"; readonly refusal: Refusal };

export interface AskReply {
  readonly verdicts: readonly AskVerdict[];
  readonly shard: ShardView;
}

/** The pending (or parked) operation that is the logical state of a key. */
export interface PendingOperation {
  readonly stored: Stored;
  readonly kind: OperationKind;
  readonly metadata: PutMetadata | null;
  /** R2 writes before this (objects' clock) are older than the operation. */
  readonly fenceAt: number;
  /** When a call that carried these bytes to R2 first began; null: none yet. */
  readonly firstCallAt: number | null;
  /** The payload, when small. */
  readonly inline: Uint8Array | null;
  /** A multipart upload with parts in R2, where nobody can read them before it is completed. */
  readonly partsInR2?: boolean;
}

/** Which keys of a shard are asked for: those below `prefix` and after `after`, in UTF-8 order, at most `limit`. */
export interface PendingRange {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

export interface PendingInReply {
  readonly shard: ShardView;
  /** The logical state of each key, in UTF-8 order. */
  readonly items: readonly Omit<PendingOperation, "inline">[];
  /** There are more after the last item. */
  readonly isTruncated: boolean;
  /** R2's clock minus the objects', ms. */
  readonly clockOffsetMs: number;
}

/** What a shard remembers of a busy key, for the classification of what R2 holds. */
export interface Ledger {
  /** R2 versions that the queue wrote itself. */
  readonly appliedVersions: readonly string[];
  /** Puts whose outcome is or was unknown: they may have landed at any time since. */
  readonly unknownPuts: readonly { readonly fingerprint: string; readonly startedAt: number }[];
  readonly clockOffsetMs: number;
}

export interface PeekReply {
  readonly shard: ShardView;
  readonly pending: PendingOperation | null;
  readonly ledger: Ledger;
}
