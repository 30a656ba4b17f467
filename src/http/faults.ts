import * as z from "zod";
import { faultProblem, parseFaults } from "../bucket/fault-schema";
import { adoptSnapshot } from "../bucket/isolate-service";
import { serviceStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import type { FaultRule } from "../shared/protocol";
import { actorOf, type Call, json } from "./call";
import { readJson } from "./input";
import { ACTION_DEADLINE_MS, ask, serviceOfPath, unwrap } from "./objects";

const bodySchema = z.strictObject({ faults: z.unknown() });

/** `GET /health/services/:serviceName/faults`. */
export async function getFaults(call: Call): Promise<Response> {
  requireSwitch(call);
  const name = await serviceOfPath(call);
  return json({ faults: await ask("The service's monitor", () => serviceStub(call.env, name).faults()) });
}

/** `PUT …/faults`: these rules instead of the present ones. */
export async function putFaults(call: Call): Promise<Response> {
  requireSwitch(call);
  const { faults } = await readJson(call.request, bodySchema);
  const wrong = faultProblem(faults);
  if (wrong !== null) throw new FailoverError("INVALID_REQUEST", wrong);
  return replaceFaults(call, parseFaults(faults));
}

/** `DELETE …/faults`: the bucket works by itself again. */
export async function deleteFaults(call: Call): Promise<Response> {
  requireSwitch(call);
  return replaceFaults(call, []);
}

async function replaceFaults(call: Call, rules: readonly FaultRule[]): Promise<Response> {
  const name = await serviceOfPath(call);
  const run = () => serviceStub(call.env, name).setFaults(rules, actorOf(call));
  const { faults, snapshot } = unwrap(await ask("The service's monitor", run, ACTION_DEADLINE_MS));
  adoptSnapshot(snapshot);
  return json({ faults });
}

function requireSwitch(call: Call): void {
  if (call.env.FAULT_INJECTION === "on") return;
  throw new FailoverError("FAULT_INJECTION_OFF", "Fault injection is off. It is switched on by FAULT_INJECTION=on.");
}
