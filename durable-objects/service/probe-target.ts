/** Probes of what is no bucket: one step, which is the evidence for reads and writes alike. */
import type { FailoverEnv } from "../../src/shared/env";
import { RESERVED_PREFIX } from "../../src/shared/keys";
import { boundValue, type ProbeTarget } from "../../src/shared/probes";
import type { Outcome } from "../../src/shared/protocol";
import { within } from "../../src/shared/within";
import type { ProbeReport } from "./probe";

/** `n` is the number of the probe. Never rejects: what goes wrong is the service's failure. */
export async function probeTarget(
  env: FailoverEnv,
  target: ProbeTarget,
  n: number,
  timeoutMs: number,
  now: () => number,
): Promise<ProbeReport> {
  const startedAt = now();
  const abort = new AbortController();
  const late = () => new Error(`no answer within ${timeoutMs} ms`);
  const outcome = await within(call(env, target, n, abort.signal), timeoutMs, late).catch((): Outcome => "failure");
  abort.abort();
  const step = { ok: outcome === "success", ms: now() - startedAt };
  return {
    result: null,
    steps: { read: step, write: step },
    outcomes: { read: outcome, write: outcome },
    clockOffset: null,
  };
}

async function call(env: FailoverEnv, target: ProbeTarget, n: number, signal: AbortSignal): Promise<Outcome> {
  switch (target.kind) {
    case "d1": {
      await (boundValue(env, target.binding) as D1Database).prepare(target.query).first();
      return "success";
    }
    case "kv": {
      // A key that was asked for lately would be answered by a cache.
      const key = target.key ?? `${RESERVED_PREFIX}probe-${n}`;
      const value = await (boundValue(env, target.binding) as KVNamespace).get(key, "stream");
      await value?.cancel();
      return target.key === undefined || value !== null ? "success" : "failure";
    }
    case "url": {
      const response = await fetch(target.url, { method: target.method, redirect: "manual", signal });
      await response.body?.cancel();
      if (response.status === 429 && target.status !== 429) return "throttled";
      const isWanted = target.status === undefined ? response.status < 400 : response.status === target.status;
      return isWanted ? "success" : "failure";
    }
    case "rpc": {
      // Called on the binding itself: the method of a stub is bound to nothing.
      const handler = boundValue(env, target.binding) as Record<string, (() => Promise<unknown>) | undefined>;
      return (await handler[target.method]?.()) === false ? "failure" : "success";
    }
  }
}
