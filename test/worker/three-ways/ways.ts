/**
 * The ways that a case goes: to a raw bucket, and to FailoverBuckets whose R2 is well, takes no writes, fails every
 * call, or is not called at all because the circuits are open. What can be seen must be the same, and so must be what
 * R2 holds after the drain.
 */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { FailoverBucket } from "../../../src/bucket/failover-bucket";
import { adoptSnapshot, refreshNow, shardCount } from "../../../src/bucket/isolate-service";
import { queueStub, serviceStub } from "../../../src/bucket/stubs";
import type { FaultRule, OperationClass } from "../../../src/shared/protocol";
import type { ServiceMode } from "../../../src/shared/records";
import type { SystemRpc } from "../../../src/shared/rpc";
import { DIFFERENCES, type Difference } from "./differences";
import { told } from "./told";

declare global {
  namespace Cloudflare {
    interface Env {
      R2_RAW: R2Bucket;
      R2_HEALTHY: R2Bucket;
      R2_WRITELESS: R2Bucket;
      R2_FAILING: R2Bucket;
      R2_OPEN: R2Bucket;
    }
  }
}

export interface Case {
  readonly name: string;
  /** What is done. What it answers is what is compared. `key` is the case's own. */
  readonly run: (bucket: R2Bucket, key: string) => Promise<unknown>;
  /** An outage answers otherwise, for this reason, unless R2 refuses the arguments. */
  readonly differs?: Difference;
  /** Local R2 is laxer here than R2 in production, whose rule the queue has: an outage answers this instead. */
  readonly stricter?: unknown;
}

/** An argument that the types forbid, and that callers give all the same. */
export const anything = (value: unknown) => value as never;

/** What R2 says of a key that is none. */
export const badKey = (method: string) => `Error: ${method}: The specified object name is not valid. (10020)`;

const BY = { actor: "cases", requestId: "cases" };
const OUTAGES = ["WRITELESS", "FAILING", "OPEN"] as const;
const SERVICES = ["HEALTHY", ...OUTAGES] as const;
type Service = (typeof SERVICES)[number];

const bucketOf = (service: Service) => new FailoverBucket(env, { service });

/** A queued delete waits for it, and a part of 6 MiB must fit. */
const WRITE_TIMEOUT_MS = 5_000;
const SETUP_MS = 60_000;
const DRAIN_MS = 120_000;
let cutOff: Promise<void> | undefined;

/** Runs a table of cases, one test each. `prepare`: what all of them find there; `r2` is what is behind `bucket`. */
export function describeCases(
  what: string,
  cases: readonly Case[],
  prepare: (bucket: R2Bucket, r2: R2Bucket) => Promise<unknown> = async () => undefined,
): void {
  describe(what, () => {
    beforeAll(async () => {
      cutOff ??= cutOffServices();
      await cutOff;
      await prepare(env.R2_RAW, env.R2_RAW);
      for (const service of SERVICES) await prepare(bucketOf(service), env[`R2_${service}`]);
    }, SETUP_MS);
    test.each(cases)("$name", async ({ name, run, ...other }) => {
      const key = `${what}/${name}`;
      const raw = await told(() => run(env.R2_RAW, key));
      expect(await told(() => run(bucketOf("HEALTHY"), key)), "while R2 is well").toEqual(raw);
      for (const service of OUTAGES) {
        const outage = await told(() => run(bucketOf(service), key));
        expect(outage, `in an outage (${service})`).toEqual(inOutage(service, raw, other));
      }
      // What an outage has refused it will not hold: the others are not to hold it either.
      const refused = Object.keys(other).length > 0 ? keysIn(raw) : [];
      for (const bucket of [env.R2_RAW, env.R2_HEALTHY]) await bucket.delete(refused);
      if (other.stricter === undefined) await bucketOf("WRITELESS").delete(refused);
    });
  });
}

function inOutage(service: Service, raw: unknown, { differs, stricter }: Omit<Case, "name" | "run">): unknown {
  if (stricter !== undefined) return stricter;
  if (differs === undefined || isRefusal(raw)) return raw;
  const { answer, needs } = DIFFERENCES[differs];
  return needs === "reads" && service === "WRITELESS" ? raw : answer;
}

/** Bad arguments are bad in an outage too. */
function isRefusal(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "error" in answer;
}

/** The keys of the objects in a described answer. */
function keysIn(answer: unknown): string[] {
  if (Array.isArray(answer)) return answer.flatMap(keysIn);
  return typeof answer === "object" && answer !== null && "key" in answer ? [String(answer.key)] : [];
}

/** The last test of a table: what was queued drains, and each bucket holds what the raw one holds. */
export function describeDrain(): void {
  test("after the drain R2 holds the same", { timeout: DRAIN_MS }, async () => {
    for (const service of OUTAGES) {
      await setFaults(service, []);
      await setMode(service, "auto");
    }
    await setPaused("FAILING", false);
    for (const service of OUTAGES) {
      await expect.poll(() => heldBy(service), { timeout: DRAIN_MS, interval: 100 }).toBe(0);
    }
    const raw = await holds(env.R2_RAW);
    for (const service of SERVICES) {
      expect(await holds(env[`R2_${service}`]), `behind ${service}`).toEqual(raw);
    }
  });
}

async function cutOffServices(): Promise<void> {
  env.R2_SERVICES = JSON.stringify(Object.fromEntries(SERVICES.map((name) => [name, `R2_${name}`])));
  const system = env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system")) as unknown as SystemRpc;
  await system.setConfig("OPERATION_QUEUE", "max_queue_size", 100_000, BY);
  for (const service of SERVICES) {
    // A queued delete waits for the leases: they are short.
    await system.setConfig(service, "lease_cap_ms", 1_000, BY);
    await system.setConfig(service, "write_timeout_ms", WRITE_TIMEOUT_MS, BY);
    await refreshNow(env, service);
  }
  // Every call is made, and fails: no circuit spares R2 one. The drain's own tries would only lengthen its backoff.
  await setPaused("FAILING", true);
  await setMode("FAILING", "metrics_only");
  await setFaults("FAILING", [{ operations: "all", error_code: 10001 }]);
  await setMode("OPEN", "forced_open");
  await setMode("WRITELESS", "forced_open", ["write"]);
}

async function setFaults(service: Service, faults: readonly FaultRule[]): Promise<void> {
  const answer = await serviceStub(env, service).setFaults(faults, BY);
  if (!answer.ok) throw new Error(answer.message);
  adoptSnapshot(answer.snapshot);
}

async function setMode(service: Service, mode: ServiceMode, circuits?: readonly OperationClass[]): Promise<void> {
  const change = { mode, reason: "cases", ...(circuits !== undefined && { circuits }) };
  const answer = await serviceStub(env, service).setMode(change, BY);
  if (!answer.ok) throw new Error(answer.message);
  adoptSnapshot(answer.snapshot);
}

async function setPaused(service: Service, isPaused: boolean): Promise<void> {
  const answer = await serviceStub(env, service).setPaused(isPaused, BY);
  if (!answer.ok) throw new Error(answer.message);
}

/** Operations that the service's queue still holds. */
async function heldBy(service: Service): Promise<number> {
  const shards = Array.from({ length: await shardCount(env, service) }, (_, shard) => queueStub(env, service, shard));
  const usages = await Promise.all(shards.map((shard) => shard.usage()));
  return usages.reduce((held, { pending, processing, failed }) => held + pending + processing + failed, 0);
}

/** All that a bucket holds, by key. */
async function holds(bucket: R2Bucket): Promise<Record<string, unknown>> {
  const held: Record<string, unknown> = {};
  for (let cursor: string | undefined, isMore = true; isMore; ) {
    const page = await bucket.list(cursor === undefined ? {} : { cursor });
    for (const { key } of page.objects) held[key] = await told(() => bucket.get(key));
    isMore = page.truncated;
    cursor = page.truncated ? page.cursor : undefined;
  }
  return held;
}
