/** The compiler's proof that a FailoverBucket goes wherever an R2Bucket goes. Checked by `tsc`; nothing here is run. */
import { expectTypeOf } from "vitest";
import type { CachedObject, CachedObjectBody } from "../../../src/bucket/cached-object";
import type { FailoverBucket, FailoverUpload } from "../../../src/bucket/failover-bucket";
import type { QueuedObject, QueuedObjectBody } from "../../../src/bucket/queued-object";

type Method = keyof R2Bucket;
/** Every member of `T`, told of it: whether it is `any`, may be left out, and what it is. */
type Kind<T> = {
  -readonly [K in keyof T]-?: 0 extends 1 & T[K] ? "any" : undefined extends T[K] ? "optional" : "present";
};

declare const ours: FailoverBucket;
declare const native: R2Bucket;
declare const onlyIf: R2Conditional | Headers;
declare function existing(bucket: R2Bucket): void;

// Code that takes an R2Bucket takes ours, and an environment that has one may have ours in its place.
existing(ours);
expectTypeOf<{ readonly R2_BUCKET: FailoverBucket }>().toExtend<{ readonly R2_BUCKET: R2Bucket }>();

// No member is missing, optional or `any`.
expectTypeOf<Kind<Pick<FailoverBucket, Method>>>().toEqualTypeOf<Record<Method, "present">>();

// Every call that compiles with R2's bucket compiles with ours, and has the same result: R2's own types.
expectTypeOf(ours.head("key")).toEqualTypeOf(native.head("key"));
expectTypeOf(ours.get("key")).toEqualTypeOf(native.get("key"));
expectTypeOf(ours.get("key", {})).toEqualTypeOf(native.get("key", {}));
expectTypeOf(ours.get("key", { onlyIf })).toEqualTypeOf<Promise<R2ObjectBody | R2Object | null>>();
expectTypeOf(ours.put("key", "value", { onlyIf })).toEqualTypeOf<Promise<R2Object | null>>();
expectTypeOf(ours.delete("key")).toEqualTypeOf(native.delete("key"));

// An upload may do more, too.
expectTypeOf(ours.createMultipartUpload("key")).toExtend<Promise<R2MultipartUpload>>();
expectTypeOf(ours.createMultipartUpload("key")).resolves.not.toBeAny();
expectTypeOf(ours.resumeMultipartUpload("key", "id")).toExtend<R2MultipartUpload>();
expectTypeOf<Kind<Pick<FailoverUpload, keyof R2MultipartUpload>>>().toEqualTypeOf<
  Record<keyof R2MultipartUpload, "present">
>();
expectTypeOf<FailoverUpload["uploadPart"]>().returns.toEqualTypeOf<Promise<R2UploadedPart>>();
expectTypeOf<FailoverUpload["complete"]>().returns.toEqualTypeOf<Promise<R2Object>>();

// A list may tell more of itself.
expectTypeOf(ours.list()).toExtend<Promise<R2Objects>>();
expectTypeOf(ours.list()).resolves.not.toBeAny();
// R2's types allow for a null without a condition, which R2 never gives. Ours do not, and so fit.
expectTypeOf(ours.put("key", "value")).toEqualTypeOf<Promise<R2Object>>();
expectTypeOf(ours.put("key", "value", {})).toExtend<ReturnType<typeof native.put>>();

// Every argument of R2's is one of ours, with every option.
type Argument<M extends Method, N extends number> = Parameters<R2Bucket[M]>[N];
type Taken<M extends Method, N extends number> = Parameters<FailoverBucket[M]>[N];
expectTypeOf<Argument<"head", 0>>().toExtend<Taken<"head", 0>>();
expectTypeOf<Argument<"get", 1>>().toExtend<Taken<"get", 1>>();
expectTypeOf<Argument<"put", 1>>().toExtend<Taken<"put", 1>>();
expectTypeOf<Argument<"put", 2>>().toExtend<Taken<"put", 2>>();
expectTypeOf<Argument<"delete", 0>>().toExtend<Taken<"delete", 0>>();
expectTypeOf<Argument<"list", 0>>().toExtend<Taken<"list", 0>>();
expectTypeOf<Argument<"createMultipartUpload", 1>>().toExtend<Taken<"createMultipartUpload", 1>>();
expectTypeOf<R2GetOptions>().toExtend<NonNullable<Taken<"get", 1>>>();
expectTypeOf<R2PutOptions>().toExtend<NonNullable<Taken<"put", 2>>>();

// And none of them is `any`, behind which everything would pass.
expectTypeOf<Taken<"put", 1>>().not.toBeAny();
expectTypeOf<Taken<"put", 2>>().not.toBeAny();
expectTypeOf<Taken<"get", 1>>().not.toBeAny();
expectTypeOf<Taken<"list", 0>>().not.toBeAny();
// @ts-expect-error: no value that R2 does not take.
ours.put("key", 1);
// @ts-expect-error: no option that is neither R2's nor ours.
ours.put("key", "value", { contentType: "text/plain" });

// Objects that R2 did not make have every member of R2's, of the same kind or a stricter one.
interface Made {
  readonly queued: QueuedObject;
  readonly queuedBody: QueuedObjectBody;
  readonly cached: CachedObject;
  readonly cachedBody: CachedObjectBody;
}
expectTypeOf<Made["queued" | "cached"]>().toExtend<R2Object>();
expectTypeOf<Made["queuedBody" | "cachedBody"]>().toExtend<R2ObjectBody>();
type Strict<T> = Kind<Pick<T, Exclude<keyof R2ObjectBody, "range" | "ssecKeyMd5"> & keyof T>>;
expectTypeOf<Strict<QueuedObjectBody>>().toEqualTypeOf<
  Record<Exclude<keyof R2ObjectBody, "range" | "ssecKeyMd5">, "present">
>();
expectTypeOf<Strict<CachedObjectBody>>().toEqualTypeOf<Strict<QueuedObjectBody>>();
expectTypeOf<Strict<QueuedObject>>().toEqualTypeOf<
  Record<Exclude<keyof R2Object, "range" | "ssecKeyMd5">, "present">
>();
expectTypeOf<QueuedObjectBody["checksums"]>().toEqualTypeOf<R2Checksums>();
expectTypeOf<QueuedObjectBody["body"]>().toEqualTypeOf<ReadableStream>();
expectTypeOf<QueuedObjectBody["writeHttpMetadata"]>().toEqualTypeOf<R2ObjectBody["writeHttpMetadata"]>();
