/** How the Worker asks an object for a subscription, after it has looked at who asks. Pure. */
import { formatSince, parseSince, type Since } from "./since";

/** `public`: no reasons, event data, shards, keys or user ids. */
export type SubscriberView = "public" | "token";

export interface Subscription {
  readonly view: SubscriberView;
  readonly since: Since | null;
  /** The WebSocket subprotocol to accept. */
  readonly protocol: string | null;
}

export function subscriptionRequest({ view, since, protocol }: Subscription): Request {
  const url = new URL("https://object/subscribe");
  url.searchParams.set("view", view);
  if (since !== null) url.searchParams.set("since", formatSince(since));
  if (protocol !== null) url.searchParams.set("protocol", protocol);
  return new Request(url, { headers: { upgrade: "websocket" } });
}

/** Whoever says nothing of itself sees what everybody sees. */
export function readSubscription(request: { readonly url: string }): Subscription {
  const { searchParams } = new URL(request.url);
  return {
    view: searchParams.get("view") === "token" ? "token" : "public",
    since: parseSince(searchParams.get("since") ?? ""),
    protocol: searchParams.get("protocol"),
  };
}
