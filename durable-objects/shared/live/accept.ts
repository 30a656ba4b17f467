import { readSubscription } from "../../../src/shared/subscription";
import type { Subscribers } from "./subscribers";

const FULL_RETRY_S = 10;

/** Answers the Worker's request for a subscription. */
export function acceptSubscriber(subscribers: Subscribers, request: Request, now: number): Response {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return new Response(null, { status: 426 });
  const { view, since, protocol } = readSubscription(request);
  const accepted = subscribers.accept(view, since, protocol, now);
  return accepted ?? new Response(null, { status: 503, headers: { "retry-after": String(FULL_RETRY_S) } });
}
