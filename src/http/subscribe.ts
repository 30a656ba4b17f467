import { serviceStub, systemStub } from "../bucket/stubs";
import { FailoverError } from "../shared/errors";
import { subscriptionRequest } from "../shared/subscription";
import { type Call, seesDetails } from "./call";
import { acceptedProtocol, isWebSocketUpgrade } from "./credentials";
import { sinceOf } from "./events";
import { ask, requireService } from "./objects";

/** The first subscriber of all waits until the services have told their states. */
const SUBSCRIBE_DEADLINE_MS = 5_000;
const FULL_RETRY_S = 10;

/** `GET /health/ws`: a subscription to one service's events and state, or to all. */
export async function subscribe(call: Call): Promise<Response> {
  const { request, env, url } = call;
  if (!isWebSocketUpgrade(request)) {
    throw new FailoverError("UPGRADE_REQUIRED", "This path takes WebSockets only. Connect with Upgrade: websocket.");
  }
  const since = sinceOf(url.searchParams.get("since"));
  const named = url.searchParams.get("service");
  const service = named === null ? null : await requireService(env, named);
  const protocol = acceptedProtocol(request)["sec-websocket-protocol"] ?? null;
  const view = seesDetails(call) ? "token" : "public";
  const what = service === null ? "The event feed" : "The service's monitor";
  const object = service === null ? systemStub(env) : serviceStub(env, service);
  const connect = () => object.fetch(subscriptionRequest({ view, since, protocol }));
  const response = await ask(what, connect, SUBSCRIBE_DEADLINE_MS);
  if (response.status === 101) return response;
  await response.body?.cancel();
  throw new FailoverError("SERVICE_UNAVAILABLE", `${what} takes no more subscribers.`, { retryAfter: FULL_RETRY_S });
}
