import * as z from "zod";
import { refreshNow } from "../bucket/isolate-service";
import { systemStub } from "../bucket/stubs";
import { NOTIFICATION_SECTION, QUEUE_SECTION } from "../shared/config";
import { bucketBindings } from "../shared/env";
import { FailoverError } from "../shared/errors";
import { actorOf, type Call, json } from "./call";
import { decodePart, readJson } from "./input";
import { ACTION_DEADLINE_MS, ask, askOrNull, requireService, unwrap } from "./objects";

export const settingSchema = z.strictObject({ value: z.unknown() });
const SHARED_SECTIONS: readonly string[] = [QUEUE_SECTION, NOTIFICATION_SECTION];

/** `GET /health/config`. */
export async function getConfig(call: Call): Promise<Response> {
  return json({ config: await ask("The registry of services", () => systemStub(call.env).config()) });
}

/** `PUT /health/config/:service/:key`: in force here at once, elsewhere within a lease. */
export async function putConfig(call: Call): Promise<Response> {
  const section = decodePart(call.params.service ?? "");
  const key = decodePart(call.params.key ?? "");
  const { value } = await readJson(call.request, settingSchema);
  if (value === undefined) throw new FailoverError("INVALID_REQUEST", "value: is missing.");
  if (!SHARED_SECTIONS.includes(section)) await requireService(call.env, section);
  const run = () => systemStub(call.env).setConfig(section, key, value, actorOf(call));
  const { record } = unwrap(await ask("The registry of services", run, ACTION_DEADLINE_MS));
  const concerned = section === QUEUE_SECTION ? [...bucketBindings(call.env).keys()] : [section];
  if (section !== NOTIFICATION_SECTION) {
    // It is stored already: a service that does not answer now learns it with its next lease.
    await Promise.all(concerned.map((name) => askOrNull("The service's monitor", () => refreshNow(call.env, name))));
  }
  return json(record);
}
