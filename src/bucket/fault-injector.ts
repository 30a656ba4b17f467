import { waitUntil } from "cloudflare:workers";
import type { BucketMethod, FaultRule } from "../shared/protocol";
import { faultEffect, firingRule } from "./fault-rules";
import { truncated } from "./truncated-object";

export interface InjectorHooks {
  /** Every call that is made to the bucket, faulted or not. */
  onCall(method: BucketMethod): void;
  now(): number;
  random(): number;
}

type PutValue = Parameters<R2Bucket["put"]>[1];
type PartValue = Parameters<R2MultipartUpload["uploadPart"]>[1];

/** What R2 calls the method in its messages. */
const R2_ACTION: Readonly<Partial<Record<BucketMethod, string>>> = {
  complete: "completeMultipartUpload",
  abort: "abortMultipartUpload",
};

const R2_MESSAGE: Readonly<Record<number, string>> = {
  10001: "We encountered an internal error. Please try again.",
  10043: "The service is temporarily unavailable. Please try again later.",
  10058: "Reduce your rate of simultaneous reads on the same object.",
};

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A body that outlives its caller: a stream is read to its end, memory that the caller may reuse is copied. */
async function buffered(value: PutValue): Promise<Exclude<PutValue, ReadableStream>> {
  if (value instanceof ReadableStream) return await new Response(value).arrayBuffer();
  if (value instanceof ArrayBuffer) return value.slice(0);
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  }
  return value;
}

/** What a fault needs of a call. `keep` makes the body outlive the caller, for a call that lands late. */
interface Call<T> {
  readonly method: BucketMethod;
  readonly send: () => Promise<T>;
  readonly keep?: () => Promise<() => Promise<T>>;
}

async function faulted<T>(rule: FaultRule, call: Call<T>): Promise<T> {
  const effect = faultEffect(rule);
  if (effect.kind === "land_late") {
    const send = call.keep ? await call.keep() : call.send;
    const landing = delay(rule.latency_ms ?? 0).then(send);
    // The caller's request may end first; the real R2 would not notice.
    waitUntil(landing.catch(() => undefined));
    return await landing;
  }
  if (rule.latency_ms !== undefined) await delay(rule.latency_ms);
  switch (effect.kind) {
    case "delay":
      return await call.send();
    case "hang":
      return await new Promise<never>(() => undefined);
    case "lose_reply": {
      const reply = await call.send();
      if (reply !== null && typeof reply === "object" && "body" in reply) {
        await (reply as unknown as R2ObjectBody).body.cancel();
      }
      throw new Error("Network connection lost.");
    }
    case "truncate_body": {
      const reply = await call.send();
      return call.method === "get" ? (truncated(reply as R2Object | R2ObjectBody | null) as T) : reply;
    }
    case "error": {
      const message = R2_MESSAGE[effect.code] ?? "Unspecified error";
      throw new Error(`${R2_ACTION[call.method] ?? call.method}: ${message} (${effect.code})`);
    }
  }
}

class Injector {
  constructor(
    private readonly rules: () => readonly FaultRule[],
    private readonly hooks: InjectorHooks,
  ) {}

  /** Counts the call; the rule that meets it, or null. The healthy path costs a counter and a length. */
  meets(method: BucketMethod, keys: string | readonly string[]): FaultRule | null {
    this.hooks.onCall(method);
    const rules = this.rules();
    return rules.length === 0 ? null : firingRule(rules, method, keys, this.hooks.now(), () => this.hooks.random());
  }
}

class FaultyUpload implements R2MultipartUpload {
  readonly key: string;
  readonly uploadId: string;

  constructor(
    private readonly upload: R2MultipartUpload,
    private readonly injector: Injector,
  ) {
    this.key = upload.key;
    this.uploadId = upload.uploadId;
  }

  uploadPart(partNumber: number, value: PartValue, options?: R2UploadPartOptions): Promise<R2UploadedPart> {
    const rule = this.injector.meets("uploadPart", this.key);
    const send = (body: PartValue) => this.upload.uploadPart(partNumber, body, options);
    if (rule === null) return send(value);
    const keep = async () => {
      const kept = await buffered(value);
      return () => send(kept ?? "");
    };
    return faulted(rule, { method: "uploadPart", send: () => send(value), keep });
  }

  complete(parts: R2UploadedPart[]): Promise<R2Object> {
    const rule = this.injector.meets("complete", this.key);
    if (rule === null) return this.upload.complete(parts);
    return faulted(rule, { method: "complete", send: () => this.upload.complete(parts) });
  }

  abort(): Promise<void> {
    const rule = this.injector.meets("abort", this.key);
    if (rule === null) return this.upload.abort();
    return faulted(rule, { method: "abort", send: () => this.upload.abort() });
  }
}

class FaultyBucket implements R2Bucket {
  constructor(
    private readonly bucket: R2Bucket,
    private readonly injector: Injector,
  ) {}

  put(
    key: string,
    value: PutValue,
    options?: R2PutOptions & { onlyIf: R2Conditional | Headers },
  ): Promise<R2Object | null>;
  put(key: string, value: PutValue, options?: R2PutOptions): Promise<R2Object>;
  put(key: string, value: PutValue, options?: R2PutOptions): Promise<R2Object | null> {
    const rule = this.injector.meets("put", key);
    if (rule === null) return this.bucket.put(key, value, options);
    const keep = async () => {
      const kept = await buffered(value);
      return () => this.bucket.put(key, kept, options);
    };
    return faulted(rule, { method: "put", send: () => this.bucket.put(key, value, options), keep });
  }

  get(
    key: string,
    options: R2GetOptions & { onlyIf: R2Conditional | Headers },
  ): Promise<R2ObjectBody | R2Object | null>;
  get(key: string, options?: R2GetOptions): Promise<R2ObjectBody | null>;
  get(key: string, options?: R2GetOptions): Promise<R2ObjectBody | R2Object | null> {
    const rule = this.injector.meets("get", key);
    if (rule === null) return this.bucket.get(key, options);
    return faulted(rule, { method: "get", send: () => this.bucket.get(key, options) });
  }

  head(key: string): Promise<R2Object | null> {
    const rule = this.injector.meets("head", key);
    if (rule === null) return this.bucket.head(key);
    return faulted(rule, { method: "head", send: () => this.bucket.head(key) });
  }

  delete(keys: string | string[]): Promise<void> {
    const rule = this.injector.meets("delete", keys);
    if (rule === null) return this.bucket.delete(keys);
    return faulted(rule, { method: "delete", send: () => this.bucket.delete(keys) });
  }

  list(options?: R2ListOptions): Promise<R2Objects> {
    const rule = this.injector.meets("list", options?.prefix ?? "");
    if (rule === null) return this.bucket.list(options);
    return faulted(rule, { method: "list", send: () => this.bucket.list(options) });
  }

  async createMultipartUpload(key: string, options?: R2MultipartOptions): Promise<R2MultipartUpload> {
    const rule = this.injector.meets("createMultipartUpload", key);
    const send = () => this.bucket.createMultipartUpload(key, options);
    const upload = rule === null ? await send() : await faulted(rule, { method: "createMultipartUpload", send });
    return new FaultyUpload(upload, this.injector);
  }

  resumeMultipartUpload(key: string, uploadId: string): R2MultipartUpload {
    return new FaultyUpload(this.bucket.resumeMultipartUpload(key, uploadId), this.injector);
  }
}

/**
 * The bucket with faults injected, right above the binding, so that circuits, queue, probes and drains meet them as
 * they would meet the real thing (API.md, Records). `rules` is asked at every call; native results pass untouched.
 */
export function injectFaults(bucket: R2Bucket, rules: () => readonly FaultRule[], hooks: InjectorHooks): R2Bucket {
  return new FaultyBucket(bucket, new Injector(rules, hooks));
}
