/** Outages by decree. */
import { refreshNow } from "../../../src/bucket/isolate-service";
import { serviceStub } from "../../../src/bucket/stubs";
import type { FailoverEnv } from "../../../src/shared/env";

export const BY = { actor: "bench", requestId: "bench" };

/** R2 takes nothing more of the service's; what is queued stays. `circuits`: `write`, or `read,write`. */
export async function refuse(env: FailoverEnv, service: string, circuits: string): Promise<void> {
  const stub = serviceStub(env, service);
  const refused = (["read", "write"] as const).filter((circuit) => circuits.split(",").includes(circuit));
  await stub.setPaused(true, BY);
  await stub.setMode({ mode: "forced_open", circuits: refused, reason: "bench" }, BY);
  await refreshNow(env, service);
}
