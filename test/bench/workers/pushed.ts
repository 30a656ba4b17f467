/** A change of state that subscribers are told of, and the bare loop beside it. */
import { serviceStub } from "../../../src/bucket/stubs";
import { DEFAULT_SERVICE } from "../../../src/shared/env";
import type { BenchEnv } from "./queued";
import { BY } from "./refused";

export function peer(env: BenchEnv) {
  return env.PEER_DO.get(env.PEER_DO.idFromName("push"));
}

/** Changes the state. Answers when it changed in the object, ms. */
export async function change(env: BenchEnv): Promise<number> {
  const service = serviceStub(env, DEFAULT_SERVICE);
  const { paused } = await service.overview();
  await service.setPaused(!paused, BY);
  const { events } = await service.events(null, 1);
  return Date.parse(events.at(-1)?.created_at ?? "");
}

/** Sends a text to all in a bare loop. Answers when the loop began, ms. */
export function send(env: BenchEnv, text: string): Promise<number> {
  return peer(env).sendAll(text);
}
