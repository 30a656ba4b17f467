/** The queue as a whole: its state, and what operators do to all of it. */
import * as z from "zod";
import { queueStub, serviceStub } from "../bucket/stubs";
import { DEFAULT_SERVICE } from "../shared/env";
import { queueRecord } from "../shared/queue-record";
import type { QueueStatusRecord } from "../shared/records";
import type { ServiceOverview } from "../shared/rpc";
import { actorOf, type Call, json, seesDetails } from "./call";
import { readJson } from "./input";
import { ACTION_DEADLINE_MS, ask, askOrNull, requireService, serviceOfQuery, shardsOf, unwrap } from "./objects";
import { type AskedShard, shardUsages, sumUsage } from "./shard-usages";

export const serviceSchema = z.strictObject({ service: z.string().optional() });
export const redriveSchema = z.strictObject({ service: z.string().optional(), force: z.boolean().default(false) });

/** `GET /health/queue/status`: what the shards say themselves. */
export async function queueStatus(call: Call): Promise<Response> {
  const service = await serviceOfQuery(call);
  const [shards, overview] = await Promise.all([
    shardUsages(call.env, service),
    askOrNull("The service's monitor", () => serviceStub(call.env, service).overview()),
  ]);
  return json(queueStatusRecord(shards, overview, seesDetails(call), Date.now()));
}

/** `overview` is null when the service's object does not answer: whether it is paused is not known then; counts are those of the shards that do. */
function queueStatusRecord(
  shards: readonly AskedShard[],
  overview: ServiceOverview | null,
  withShards: boolean,
  now: number,
): Omit<QueueStatusRecord, "paused"> & { paused: boolean | null; unreachable_shards: number } {
  const known = shards.flatMap(({ usage }) => (usage === null ? [] : [usage]));
  const { completed, cancelled, superseded } = sumUsage(known);
  return {
    ...queueRecord(known, now, overview?.estimates),
    completed,
    cancelled,
    superseded,
    paused: overview?.paused ?? null,
    unreachable_shards: shards.length - known.length,
    ...(withShards
      ? {
          shards: shards.map(({ shard, usage }) =>
            usage === null ? { shard, reachable: false } : { shard, reachable: true, ...queueRecord([usage], now) },
          ),
        }
      : {}),
  };
}

/** `POST /health/queue/redrive` `{service?, force?}`: every dead letter whose key has not changed since, or all of them. */
export async function redrive(call: Call): Promise<Response> {
  const body = await readJson(call.request, redriveSchema);
  const service = await serviceOf(call, body.service);
  const count = await shardsOf(call.env, service);
  const results = await Promise.all(
    Array.from({ length: count }, (_, shard) =>
      askOrNull(
        "A part of the queue",
        () => queueStub(call.env, service, shard).redrive(body.force, actorOf(call)),
        ACTION_DEADLINE_MS,
      ),
    ),
  );
  const done = results.filter((result) => result !== null);
  return json({
    service_name: service,
    redriven: done.reduce((sum, { redriven }) => sum + redriven, 0),
    changed: done.reduce((sum, { changed }) => sum + changed, 0),
    unreachable_shards: results.length - done.length,
  });
}

/** `POST /health/queue/pause`: writes are still queued, none is applied. */
export function pause(call: Call): Promise<Response> {
  return setPaused(call, true);
}

/** `POST /health/queue/resume`. */
export function resume(call: Call): Promise<Response> {
  return setPaused(call, false);
}

async function setPaused(call: Call, wanted: boolean): Promise<Response> {
  const body = await readJson(call.request, serviceSchema);
  const service = await serviceOf(call, body.service);
  const run = () => serviceStub(call.env, service).setPaused(wanted, actorOf(call));
  const { paused } = unwrap(await ask("The service's monitor", run, ACTION_DEADLINE_MS));
  return json({ service_name: service, paused });
}

/** The service that the body names, else the query, else the default one. */
function serviceOf(call: Call, named: string | undefined): Promise<string> {
  return requireService(call.env, named ?? call.url.searchParams.get("service") ?? DEFAULT_SERVICE);
}
