/** What operators do to a service by hand: modes, probes. */
import * as z from "zod";
import { adoptSnapshot } from "../bucket/isolate-service";
import { serviceStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import { OPERATION_CLASSES } from "../shared/protocol";
import type { ModeChange, ProbeResult } from "../shared/rpc";
import { actorOf, type Call, json } from "./call";
import { readJson } from "./input";
import {
  ACTION_DEADLINE_MS,
  ask,
  askOrNull,
  knownServices,
  PROBE_DEADLINE_MS,
  requireService,
  serviceOfPath,
  serviceOfQuery,
  unwrap,
} from "./objects";

const THIRTY_DAYS_MS = 30 * 24 * 3_600_000;

const change = {
  circuits: z.array(z.enum(OPERATION_CLASSES)).min(1).optional(),
  read_only: z.boolean().optional(),
  duration_ms: z.int().min(1).max(THIRTY_DAYS_MS).optional(),
};
const reason = z.string().trim().min(1).max(500);
export const modeSchema = z.strictObject({
  mode: z.enum(["auto", "forced_open", "forced_closed", "metrics_only"]),
  reason,
  ...change,
});
export const degradeSchema = z.strictObject({ reason, ...change });
export const recoverSchema = z.strictObject({ reason: reason.default("recovered by hand"), circuits: change.circuits });
export const checkSchema = z.strictObject({ service: z.string().optional() });

/** `PUT /health/services/:serviceName/mode`. */
export async function setMode(call: Call): Promise<Response> {
  return changeMode(call, modeChange(await readJson(call.request, modeSchema)));
}

/** `POST …/degrade`: forced_open. */
export async function degrade(call: Call): Promise<Response> {
  return changeMode(call, modeChange({ mode: "forced_open", ...(await readJson(call.request, degradeSchema)) }));
}

/** `POST …/recover`: back to auto, and writable. */
export async function recover(call: Call): Promise<Response> {
  const body = await readJson(call.request, recoverSchema);
  return changeMode(call, modeChange({ mode: "auto", read_only: false, ...body }));
}

function modeChange(body: z.output<typeof modeSchema>): ModeChange {
  return {
    mode: body.mode,
    reason: body.reason,
    ...(body.circuits === undefined ? {} : { circuits: body.circuits }),
    ...(body.read_only === undefined ? {} : { readOnly: body.read_only }),
    ...(body.duration_ms === undefined ? {} : { durationMs: body.duration_ms }),
  };
}

async function changeMode(call: Call, wanted: ModeChange): Promise<Response> {
  const name = await serviceOfPath(call);
  const run = () => serviceStub(call.env, name).setMode(wanted, actorOf(call));
  const { record, snapshot } = unwrap(await ask("The service's monitor", run, ACTION_DEADLINE_MS));
  adoptSnapshot(snapshot);
  return json(record);
}

/** `POST /health/monitor/start` `{service?}`: probes come by themselves again, of one service or all. */
export function startMonitor(call: Call): Promise<Response> {
  return setMonitoring(call, true);
}

/** `POST /health/monitor/stop` `{service?}`: only `POST /health/check` probes from now on. */
export function stopMonitor(call: Call): Promise<Response> {
  return setMonitoring(call, false);
}

/** Null: the service's object did not answer, or it has nothing to probe. */
async function setMonitoring(call: Call, on: boolean): Promise<Response> {
  const { service } = await readJson(call.request, checkSchema);
  const run = (name: string) => () => serviceStub(call.env, name).setMonitoring(on, actorOf(call));
  if (service !== undefined) {
    const name = await requireService(call.env, service);
    const { monitored } = unwrap(await ask("The service's monitor", run(name), ACTION_DEADLINE_MS));
    return json({ services: { [name]: monitored } });
  }
  const monitored = await Promise.all(
    (await knownServices(call.env)).map(async (name) => {
      const answer = await askOrNull("The service's monitor", run(name), ACTION_DEADLINE_MS);
      return [name, answer?.ok === true ? answer.monitored : null] as const;
    }),
  );
  return json({ services: Object.fromEntries(monitored) });
}

/** `POST /health/check`: probes one service, or all, now. Null: its object did not answer. */
export async function check(call: Call): Promise<Response> {
  const { service } = await readJson(call.request, checkSchema);
  const names = service === undefined ? await knownServices(call.env) : [await requireService(call.env, service)];
  const metrics = await Promise.all(
    names.map(async (name) => {
      const probed = await probe(call, name).catch((error: unknown) => {
        if (service !== undefined) throw error;
        return null;
      });
      return [name, probed === null ? null : probed.metrics] as const;
    }),
  );
  return json({ services: Object.fromEntries(metrics) });
}

/** `POST /health/r2/test`: one write, read and delete of a canary, with timings. */
export async function testR2(call: Call): Promise<Response> {
  const name = await serviceOfQuery(call);
  const { result } = await probe(call, name);
  if (result === null) throw new FailoverError("INVALID_REQUEST", `${name} has no bucket that could be tested.`);
  return json(testRecord(result));
}

function testRecord({ write, read, remove, clockOffsetMs }: ProbeResult): Record<string, unknown> {
  return {
    success: write.ok && read.ok && remove.ok,
    write,
    read,
    delete: remove,
    total_ms: write.ms + read.ms + (remove.ms ?? 0),
    clock_offset_ms: clockOffsetMs,
  };
}

function probe(call: Call, name: string) {
  return ask("The service's monitor", () => serviceStub(call.env, name).probe(), PROBE_DEADLINE_MS);
}
