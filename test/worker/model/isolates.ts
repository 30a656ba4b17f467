/** Several isolates in one process: each has its own copy of the library's modules, and so its own memory. */
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import type { FailoverBucket } from "../../../src/bucket/failover-bucket";
import type { FailoverEnv } from "../../../src/shared/env";
import type { Snapshot } from "../../../src/shared/protocol";

export interface Isolate {
  readonly bounded: FailoverBucket;
  readonly strong: FailoverBucket;
  adopt(snapshot: Snapshot): void;
  /** What this isolate knows of the service is as fresh as can be. */
  refresh(): Promise<unknown>;
}

/** Makes one isolate after the other; each can open any service, and has its bindings from `its`. */
export async function createIsolates(count: number, its: FailoverEnv = env): Promise<((service: string) => Isolate)[]> {
  const isolates: ((service: string) => Isolate)[] = [];
  for (let n = 0; n < count; n += 1) {
    vi.resetModules();
    const { FailoverBucket } = await import("../../../src/bucket/failover-bucket");
    const { adoptSnapshot, refreshNow } = await import("../../../src/bucket/isolate-service");
    isolates.push((service) => ({
      bounded: new FailoverBucket(its, { service }),
      strong: new FailoverBucket(its, { service, consistency: "strong" }),
      adopt: adoptSnapshot,
      refresh: () => refreshNow(env, service),
    }));
  }
  return isolates;
}
