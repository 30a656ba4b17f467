import { Router } from "itty-router";
import type { WorkerEnv } from "../shared/env";
import { type Access, authorize, type Principal } from "./auth";
import type { Call, Handler } from "./call";
import { getConfig, putConfig } from "./config";
import { events } from "./events";
import { exportQueue } from "./export";
import { deleteFaults, getFaults, putFaults } from "./faults";
import { badge, metrics, summary } from "./formats";
import { availability, incidents, live, r2Status, ready, service, services, status } from "./health";
import { tooLarge } from "./limits";
import { errorFields, log } from "./log";
import { openApi } from "./openapi/openapi";
import { cancelOperation, getOperation, getPayload, listOperations, retryOperation } from "./operations";
import { corsHeaders, preflight } from "./origin";
import { problem, problemOf, problemResponse } from "./problem";
import { pause, queueStatus, redrive, resume } from "./queue";
import { withoutKey } from "./r2";
import { listObjects } from "./r2-list";
import * as objects from "./r2-multipart";
import { addSecurityHeaders } from "./security-headers";
import { check, degrade, recover, setMode, startMonitor, stopMonitor, testR2 } from "./service-actions";
import { subscribe } from "./subscribe";

interface Route {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly access: Access;
  readonly handle: Handler;
}

const SERVICE = "/health/services/:serviceName";
const QUEUE = "/health/queue";
const OPERATION = `${QUEUE}/operations/:id`;

/** Every call that there is. A GET route answers HEAD too. */
export const ROUTES: readonly Route[] = [
  { method: "PUT", path: "/r2/:key+", access: "gateway", handle: objects.put },
  { method: "POST", path: "/r2/:key+", access: "gateway", handle: objects.post },
  { method: "GET", path: "/r2/:key+", access: "gateway_read", handle: objects.get },
  { method: "DELETE", path: "/r2/:key+", access: "gateway", handle: objects.remove },
  { method: "PUT", path: "/r2", access: "gateway", handle: withoutKey },
  { method: "GET", path: "/r2", access: "gateway_read", handle: listObjects },
  { method: "DELETE", path: "/r2", access: "gateway", handle: withoutKey },

  { method: "GET", path: "/health/live", access: "public", handle: live },
  { method: "GET", path: "/health/ready", access: "public", handle: ready },
  { method: "GET", path: "/health/status", access: "public", handle: status },
  { method: "GET", path: "/health/services", access: "public", handle: services },
  { method: "GET", path: SERVICE, access: "public", handle: service },
  { method: "GET", path: `${SERVICE}/availability`, access: "public", handle: availability },
  { method: "GET", path: "/health/incidents", access: "public", handle: incidents },
  { method: "GET", path: "/health/events", access: "public", handle: events },
  { method: "GET", path: "/health/ws", access: "public", handle: subscribe },
  { method: "GET", path: "/health/r2/status", access: "public", handle: r2Status },
  { method: "GET", path: "/metrics", access: "public", handle: metrics },
  { method: "GET", path: "/openapi.json", access: "public", handle: () => openApi(ROUTES) },
  { method: "GET", path: "/health/summary.json", access: "public", handle: summary },
  { method: "GET", path: "/health/badges/:serviceName/:badge", access: "public", handle: badge },
  { method: "POST", path: "/health/r2/test", access: "admin", handle: testR2 },
  { method: "POST", path: "/health/check", access: "admin", handle: check },
  { method: "POST", path: "/health/monitor/start", access: "admin", handle: startMonitor },
  { method: "POST", path: "/health/monitor/stop", access: "admin", handle: stopMonitor },

  { method: "PUT", path: `${SERVICE}/mode`, access: "admin", handle: setMode },
  { method: "POST", path: `${SERVICE}/degrade`, access: "admin", handle: degrade },
  { method: "POST", path: `${SERVICE}/recover`, access: "admin", handle: recover },
  { method: "GET", path: `${SERVICE}/faults`, access: "admin", handle: getFaults },
  { method: "PUT", path: `${SERVICE}/faults`, access: "admin", handle: putFaults },
  { method: "DELETE", path: `${SERVICE}/faults`, access: "admin", handle: deleteFaults },

  { method: "GET", path: `${QUEUE}/status`, access: "public", handle: queueStatus },
  { method: "GET", path: `${QUEUE}/operations`, access: "user", handle: listOperations },
  { method: "GET", path: OPERATION, access: "gateway", handle: getOperation },
  { method: "GET", path: `${OPERATION}/payload`, access: "admin", handle: getPayload },
  { method: "POST", path: `${OPERATION}/retry`, access: "admin", handle: retryOperation },
  { method: "POST", path: `${OPERATION}/cancel`, access: "user", handle: cancelOperation },
  { method: "GET", path: `${QUEUE}/export`, access: "admin", handle: exportQueue },
  { method: "POST", path: `${QUEUE}/redrive`, access: "admin", handle: redrive },
  { method: "POST", path: `${QUEUE}/pause`, access: "admin", handle: pause },
  { method: "POST", path: `${QUEUE}/resume`, access: "admin", handle: resume },

  { method: "GET", path: "/health/config", access: "admin", handle: getConfig },
  { method: "PUT", path: "/health/config/:service/:key", access: "admin", handle: putConfig },
];

/** What itty-router reads, and what it adds. It gets this in place of the Request, which it would write on. */
interface Routed {
  readonly method: string;
  readonly url: string;
  readonly params?: Record<string, string>;
}
type Incoming = { readonly request: Request; readonly env: WorkerEnv; readonly requestId: string };

const router = Router<Routed, [Incoming], Response>();
for (const route of ROUTES) {
  const register = { GET: router.get, PUT: router.put, POST: router.post, DELETE: router.delete }[route.method];
  register(route.path, (routed, incoming) => run(route, routed.params ?? {}, incoming));
}
for (const path of new Set(ROUTES.map((route) => route.path))) {
  const methods = ROUTES.filter((route) => route.path === path).map(({ method }) => method);
  const allow = (methods.includes("GET") ? [...methods, "HEAD"] : methods).join(", ");
  router.all(path, (_, { requestId }) =>
    problemResponse(problem("METHOD_NOT_ALLOWED", `This path takes ${allow}.`, { headers: { allow } }), requestId),
  );
}

/** Answers one HTTP request. Never throws. */
export async function handle(request: Request, env: WorkerEnv): Promise<Response> {
  const requestId = requestIdOf(request.headers.get("x-request-id"));
  const incoming = { request, env, requestId };
  let response: Response;
  try {
    response = preflight(request, env) ?? (await answer(incoming));
  } catch (error) {
    response = failed(error, incoming, { kind: "anonymous" });
  }
  return finished(response, incoming);
}

async function answer(incoming: Incoming): Promise<Response> {
  const { request, requestId } = incoming;
  const excess = tooLarge(request);
  if (excess !== null) return problemResponse(excess, requestId);
  const method = request.method === "HEAD" ? "GET" : request.method;
  const routed: Response | undefined = await router.fetch({ method, url: request.url }, incoming);
  return routed ?? problemResponse(problem("NOT_FOUND", "There is no such path."), requestId);
}

/** What every answer carries, whoever made it. A WebSocket's is not for a page to read. */
function finished(response: Response, { request, env, requestId }: Incoming): Response {
  if (response.status === 101) return response;
  // Only where there must be no body is the answer made anew: a copy would forget `encodeBody`.
  const whole = request.method === "HEAD" ? new Response(null, response) : response;
  addSecurityHeaders(whole.headers, request.url.startsWith("https:"));
  for (const [name, value] of Object.entries(corsHeaders(request, env))) whole.headers.append(name, value);
  whole.headers.set("x-request-id", requestId);
  return whole;
}

async function run(route: Route, params: Record<string, string>, incoming: Incoming): Promise<Response> {
  const { request, env, requestId } = incoming;
  const verdict = await authorize(request, env, route.access);
  if (!verdict.ok) return problemResponse(verdict.problem, requestId);
  const call: Call = { request, env, url: new URL(request.url), params, principal: verdict.principal, requestId };
  try {
    return await route.handle(call);
  } catch (error) {
    return failed(error, incoming, verdict.principal);
  }
}

function failed(error: unknown, { request, requestId }: Incoming, principal: Principal): Response {
  const found = problemOf(error, principal.kind === "anonymous");
  if (found.code === "INTERNAL") {
    log("error", "unexpected_error", { request_id: requestId, method: request.method, ...errorFields(error) });
  }
  return problemResponse(found, requestId);
}

/** A caller's own id is taken when it can stand in a log line. */
function requestIdOf(given: string | null): string {
  return given !== null && /^[A-Za-z0-9._-]{8,64}$/.test(given) ? given : crypto.randomUUID();
}
