import { serviceStub } from "./bucket/stubs";
import { askOrNull, knownServices } from "./http/objects";
import { atOnce } from "./shared/at-once";
import type { WorkerEnv } from "./shared/env";

const AT_ONCE = 6;
const DEADLINE_MS = 20_000;

/** The last net under a lost alarm: pokes every service. One that fails is logged and keeps no other from its poke. */
export async function pokeServices(env: WorkerEnv): Promise<void> {
  await atOnce(AT_ONCE, await knownServices(env), async (service) => {
    await askOrNull(`The monitor of ${service}`, () => serviceStub(env, service).poke(), DEADLINE_MS);
  });
}
