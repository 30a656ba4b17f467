import { serviceStub } from "../bucket/stubs";
import { DEFAULT_SERVICE, type WorkerEnv } from "../shared/env";
import type { ShardUsage } from "../shared/protocol";
import { publicService } from "../shared/public-view";
import { queueRecord } from "../shared/queue-record";
import type { ServiceRecord } from "../shared/records";
import type { ServiceOverview } from "../shared/rpc";
import { type Call, json, seesDetails } from "./call";
import { wholeNumber } from "./input";
import { ask, askOrNull, knownServices, serviceOfPath, serviceOfQuery } from "./objects";
import { shardUsages, sumUsage } from "./shard-usages";
import { healthJson, type ServiceView, systemStatus } from "./status-summary";

/** What is kept: 90 days. */
export const HOURS = { otherwise: 24, minimum: 1, maximum: 90 * 24 };
export const INCIDENTS_LIMIT = { otherwise: 20, minimum: 1, maximum: 1_000 };
const STATUS_RETRY_AFTER = { "retry-after": "5" };

/** `GET /health/live`: this Worker runs. Asks nobody. */
export function live(): Response {
  return json({ live: true });
}

/** `GET /health/ready`: whether reads and writes of the default service would be answered now. */
export async function ready(call: Call): Promise<Response> {
  const overview = await overviewOf(call.env, DEFAULT_SERVICE);
  // With the service's object out of reach the isolates go on by themselves, so both are still taken.
  const read = overview === null || overview.record.circuits.read.admit > 0;
  const write = overview === null || !overview.record.read_only;
  const isReady = read || write;
  return json({ read, write }, isReady ? {} : { status: 503, headers: STATUS_RETRY_AFTER });
}

/** `GET /health/status`: answers with what is known, also while objects hang. */
export async function status(call: Call): Promise<Response> {
  const record = systemStatus(await serviceViews(call.env), Date.now());
  const isOffline = record.overall_status === "OFFLINE";
  const wantsHealthJson = (call.request.headers.get("accept") ?? "").includes("application/health+json");
  return json(wantsHealthJson ? healthJson(record) : record, {
    status: isOffline ? 503 : 200,
    headers: {
      ...(isOffline ? STATUS_RETRY_AFTER : {}),
      ...(wantsHealthJson ? { "content-type": "application/health+json" } : {}),
    },
  });
}

/** `GET /health/services`. Services whose object does not answer are named apart. */
export async function services(call: Call): Promise<Response> {
  const names = await knownServices(call.env);
  const found = await Promise.all(
    names.map(async (service) => ({ service, overview: await overviewOf(call.env, service) })),
  );
  return json({
    services: found.flatMap(({ overview }) => (overview === null ? [] : [serviceRecord(call, overview)])),
    unreachable: found.flatMap(({ service, overview }) => (overview === null ? [service] : [])),
  });
}

/** `GET /health/services/:serviceName`. */
export async function service(call: Call): Promise<Response> {
  const name = await serviceOfPath(call);
  const monitor = serviceStub(call.env, name);
  const [overview, history] = await Promise.all([
    ask("The service's monitor", () => monitor.overview()),
    ask("The service's monitor", () => monitor.history()),
  ]);
  return json({
    ...serviceRecord(call, overview),
    ...history,
    last_check: overview.lastCheck === null ? null : new Date(overview.lastCheck).toISOString(),
    queue: queueRecord([overview.usage], Date.now(), overview.estimates),
    paused: overview.paused,
    monitored: overview.monitored,
    bucket_calls: overview.bucketCalls,
    bucket_calls_while_open: overview.bucketCallsWhileOpen,
  });
}

/** `GET /health/services/:serviceName/availability?hours=24`. */
export async function availability(call: Call): Promise<Response> {
  const name = await serviceOfPath(call);
  const hours = wholeNumber(call.url.searchParams.get("hours"), "hours", HOURS);
  return json(await ask("The service's monitor", () => serviceStub(call.env, name).availability(hours)));
}

/** `GET /health/incidents?service=&limit=`: of all services, or of one, newest first. */
export async function incidents(call: Call): Promise<Response> {
  const { searchParams } = call.url;
  const limit = wholeNumber(searchParams.get("limit"), "limit", INCIDENTS_LIMIT);
  const names = searchParams.has("service") ? [await serviceOfQuery(call)] : await knownServices(call.env);
  const found = await Promise.all(
    names.map((name) => askOrNull("The service's monitor", () => serviceStub(call.env, name).incidents(limit))),
  );
  const records = found
    .flatMap((some) => some ?? [])
    .sort((one, other) => other.opened_at.localeCompare(one.opened_at))
    .slice(0, limit);
  return json({ incidents: seesDetails(call) ? records : records.map((record) => ({ ...record, reason: null })) });
}

/** `GET /health/r2/status`, the default service unless `?service=` names another. */
export async function r2Status(call: Call): Promise<Response> {
  const name = await serviceOfQuery(call);
  const { record } = await ask("The service's monitor", () => serviceStub(call.env, name).overview());
  return json({
    service_status: record.status,
    health_metrics: record.health_metrics,
    read_only_mode: record.read_only,
  });
}

/** A service's record as this caller may see it: reasons need a token. */
function serviceRecord(call: Call, overview: Pick<ServiceOverview, "record">): ServiceRecord {
  return seesDetails(call) ? overview.record : publicService(overview.record);
}

function overviewOf(env: WorkerEnv, name: string): Promise<ServiceOverview | null> {
  return askOrNull("The service's monitor", () => serviceStub(env, name).overview());
}

/** What is known of each service, also while objects hang. */
export async function serviceViews(env: WorkerEnv): Promise<ServiceView[]> {
  return Promise.all((await knownServices(env)).map((name) => viewOf(env, name)));
}

export async function viewOf(env: WorkerEnv, name: string): Promise<ServiceView> {
  const overview = await overviewOf(env, name);
  if (overview !== null) return { service: name, overview, usage: overview.usage };
  return { service: name, overview, usage: await usageFromShards(env, name) };
}

/** The shards know their own numbers when the service's object does not answer. */
async function usageFromShards(env: WorkerEnv, name: string): Promise<ShardUsage | null> {
  const shards = await shardUsages(env, name).catch(() => null);
  return shards === null ? null : sumUsage(shards.flatMap(({ usage }) => (usage === null ? [] : [usage])));
}
