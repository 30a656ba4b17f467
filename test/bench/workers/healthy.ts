/** Puts and gets, through FailoverBucket and through the raw binding. */
import { FailoverBucket } from "../../../src/bucket/failover-bucket";
import type { FailoverEnv } from "../../../src/shared/env";
import { randomBytes } from "./bytes";
import { refuse } from "./refused";

export type Side = "ours" | "peer";

const KEYS = 64;
const CALLERS = 20;

/** `count` puts or gets, one after the other. Answers how long they took, ms. */
export async function calls(
  env: FailoverEnv,
  side: Side,
  service: string,
  method: string,
  size: number,
  count: number,
): Promise<number> {
  const bucket = side === "ours" ? new FailoverBucket(env, { service }) : env.R2_BUCKET;
  const payload = randomBytes(size);
  const startedAt = Date.now();
  for (let i = 0; i < count; i += 1) {
    const key = keyOf(size, i % KEYS);
    if (method === "put") await bucket.put(key, payload);
    else await read(bucket, key, size);
  }
  return Date.now() - startedAt;
}

async function read(bucket: R2Bucket, key: string, size: number): Promise<void> {
  const object = await bucket.get(key);
  const bytes = await object?.arrayBuffer();
  if (bytes?.byteLength !== size) throw new Error(`${key} has ${bytes?.byteLength} bytes instead of ${size}`);
}

/** Every key that `calls` reads. */
export async function fill(env: FailoverEnv, size: number): Promise<void> {
  for (let i = 0; i < KEYS; i += 1) await env.R2_BUCKET.put(keyOf(size, i), randomBytes(size));
}

/** Every key that `calls` reads, overwritten by a queued put. */
export async function queue(env: FailoverEnv, service: string, circuits: string, size: number): Promise<void> {
  await refuse(env, service, circuits);
  const bucket = new FailoverBucket(env, { service });
  for (let i = 0; i < KEYS; i += 1) await bucket.put(keyOf(size, i), randomBytes(size));
}

const keyOf = (size: number, n: number) => `healthy/${size}/${n}`;

/**
 * How many requests to objects `count` puts and as many gets make, its first snapshot included: counted at the
 * namespaces. They come from as many callers at once as a busy isolate has.
 */
export async function objectRequests(env: FailoverEnv, count: number): Promise<number> {
  let requests = 0;
  const counted = <T extends object>(namespace: T): T =>
    new Proxy(namespace, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        const bound = value.bind(target);
        return name === "get" || name === "getByName" ? (...args: unknown[]) => countedStub(bound(...args)) : bound;
      },
    });
  const countedStub = (stub: object) =>
    new Proxy(stub, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          requests += 1;
          return Reflect.apply(value, target, args);
        };
      },
    });
  const seen: FailoverEnv = {
    ...env,
    SERVICE_DO: counted(env.SERVICE_DO),
    QUEUE_DO: counted(env.QUEUE_DO),
    SYSTEM_DO: counted(env.SYSTEM_DO),
  };
  const bucket = new FailoverBucket(seen);
  const payload = randomBytes(1_024);
  let next = 0;
  const caller = async () => {
    while (next < count) {
      const key = `requests/${next++}`;
      await bucket.put(key, payload);
      await read(bucket, key, payload.byteLength);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return requests;
}
