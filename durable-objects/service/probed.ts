/** What of a service can be probed. Nothing here throws: a mistake in one variable must not take a monitor down. */
import { type FailoverEnv, rawBucket } from "../../src/shared/env";
import { type ProbeTarget, probeTargets } from "../../src/shared/probes";

export function hasBucket(env: FailoverEnv, service: string): boolean {
  try {
    rawBucket(env, service);
    return true;
  } catch {
    return false;
  }
}

/** Null: the service has no target beside a bucket. */
export function probeTargetOf(env: FailoverEnv, service: string): ProbeTarget | null {
  try {
    return probeTargets(env).get(service) ?? null;
  } catch {
    return null;
  }
}

export function hasProbe(env: FailoverEnv, service: string): boolean {
  return hasBucket(env, service) || probeTargetOf(env, service) !== null;
}
