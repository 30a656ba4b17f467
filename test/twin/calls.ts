/** A program's calls, made ready for either bucket. */
import type { FailoverUpload, WriteOptions } from "../../src/bucket/failover-bucket";
import type { Bodies } from "../worker/model/bodies";
import { conditionOf, type KnownTags, listOptionsOf, putOptionsOf, rangeOf } from "./arguments";
import type { Write } from "./native";
import { described, describedPage, describedWithBody, type Observation, observe } from "./observe";
import type { PartBody } from "./part-bodies";
import type { Call, ListSpec } from "./spec";
import type { ToldOfPart } from "./upload-twin";

/** Asks a bucket for what is at `at`. */
export type Ready = (bucket: R2Bucket, at: string) => Promise<Observation>;

export interface ReadyPut {
  readonly ask: Ready;
  /** Our bucket gets a body of the kind that the program names. */
  readonly askOurs: Ready;
  readonly make: (bucket: R2Bucket, at: string) => Promise<unknown>;
  readonly etag: string;
}

export function readyGet(call: Extract<Call, { do: "get" }>, known: KnownTags): Ready {
  const options = {
    ...(call.range !== null && { range: rangeOf(call.range) }),
    ...(call.condition !== null && { onlyIf: conditionOf(call.condition, known) }),
  };
  return (bucket, at) => observe(async () => describedWithBody(await bucket.get(at, options), at, call.reads));
}

export const readyHead: Ready = (bucket, at) => observe(async () => described(await bucket.head(at), at));

export async function readyPut(
  call: Extract<Call, { do: "put" }>,
  key: number,
  known: KnownTags,
  bodies: Bodies,
): Promise<ReadyPut> {
  const { content, value, size, reuse } = await bodies.make(call.body, key);
  const { bytes, id, etag } = content;
  const plain = await putOptionsOf(call.options, id, bytes);
  const options = {
    ...plain,
    ...(call.condition !== null && { onlyIf: conditionOf(call.condition, known) }),
  };
  const own: R2PutOptions & WriteOptions = { ...options, ...(size !== undefined && { size }) };
  return {
    ask: (bucket, at) => observe(async () => described(await bucket.put(at, bytes, options), at)),
    askOurs: async (bucket, at) => {
      const answer = await observe(async () => described(await bucket.put(at, value, own), at));
      reuse();
      return answer;
    },
    make: (bucket, at) => bucket.put(at, bytes, plain),
    etag,
  };
}

export interface ListedPage {
  readonly told: Observation;
  /** Where the next page begins; null: nowhere. */
  readonly cursor: string | null;
}

export async function listPage(
  bucket: R2Bucket,
  spec: ListSpec,
  below: string,
  from: string | null,
): Promise<ListedPage> {
  let cursor: string | null = null;
  const told = await observe(async () => {
    const page = await bucket.list(listOptionsOf(spec, below, from));
    cursor = page.truncated ? page.cursor : null;
    return describedPage(page);
  });
  return { told, cursor };
}

export interface Begun {
  readonly told: Observation;
  readonly uploadId: string | null;
}

export async function begin(bucket: R2Bucket, at: string, options: R2MultipartOptions): Promise<Begun> {
  let uploadId: string | null = null;
  const told = await observe(async () => {
    ({ uploadId } = await bucket.createMultipartUpload(at, options));
    return "begun";
  });
  return { told, uploadId };
}

/** Our upload gets a body of the kind that the program names. */
export async function sendPart(
  upload: FailoverUpload,
  number: number,
  { value, size, reuse }: PartBody,
): Promise<ToldOfPart> {
  let etag: string | null = null;
  const told = await observe(async () => {
    const part = await upload.uploadPart(number, value ?? "", size === undefined ? {} : { size });
    etag = part.etag;
    return { partNumber: part.partNumber };
  });
  reuse();
  return { told, etag };
}

/** A delete answers nothing, in either bucket. */
export function remove(bucket: R2Bucket, keys: string | string[]): Promise<Observation> {
  return observe(async () => {
    await bucket.delete(keys);
    return "deleted";
  });
}

export function removal(bucket: R2Bucket): Write {
  return { ask: (at) => remove(bucket, at), make: (at) => bucket.delete(at), etag: null };
}
