/** Lists of 1,000 objects, through FailoverBucket and through the raw binding. */
import { FailoverBucket } from "../../../src/bucket/failover-bucket";
import type { FailoverEnv } from "../../../src/shared/env";
import type { Side } from "./healthy";
import { refuse } from "./refused";

const OBJECTS = 1_000;

/** Of the pending ones: so many are new keys, and as many are deletes. The rest overwrite. */
const NEW = 25;

const keyOf = (prefix: string, n: number) => `${prefix}/${String(n).padStart(5, "0")}`;

/** 1,000 objects in R2. */
export async function fillList(env: FailoverEnv, prefix: string): Promise<void> {
  for (let n = 0; n < OBJECTS; n += 1) await env.R2_BUCKET.put(keyOf(prefix, n), "x");
}

/** `count` writes are queued, and stay so: the list is of as many objects as before. */
export async function pendList(env: FailoverEnv, service: string, prefix: string, count: number): Promise<void> {
  await refuse(env, service, "write");
  const bucket = new FailoverBucket(env, { service });
  for (let n = 0; n < count; n += 1) {
    const key = keyOf(prefix, n < NEW ? OBJECTS + n : n * 7);
    if (n >= NEW && n < 2 * NEW) await bucket.delete(key);
    else await bucket.put(key, "queued");
  }
}

/** `count` lists, one after the other. Answers how long they took, ms. */
export async function lists(
  env: FailoverEnv,
  side: Side,
  service: string,
  prefix: string,
  count: number,
): Promise<number> {
  const bucket = side === "ours" ? new FailoverBucket(env, { service }) : env.R2_BUCKET;
  const startedAt = Date.now();
  for (let n = 0; n < count; n += 1) {
    const { objects, truncated } = await bucket.list({ prefix: `${prefix}/` });
    // As whoever lists does: R2's own objects tell their key only when it is asked for.
    const keys = new Set(objects.map(({ key }) => key));
    if (keys.size !== OBJECTS || truncated) throw new Error(`${keys.size} keys, truncated: ${truncated}`);
  }
  return Date.now() - startedAt;
}
