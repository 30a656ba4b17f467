/** Who makes a call, by what the request carries. */
import type { WorkerEnv } from "../shared/env";
import { isKnownOrigin } from "./origin";
import { looksLikeUserToken, readUserToken, type UserToken } from "./user-token";

/** `unknown`: a readable token that is none of ours. `user_unread`: a user's, and none are read here. */
export type Credentials =
  | { readonly kind: "none" | "unreadable" | "unknown" | "gateway" | "admin" | "user_unread" }
  | UserToken;

/** Cloudflare Access puts a user's token here. */
const ACCESS_HEADER = "cf-access-jwt-assertion";
const WEBSOCKET_PROTOCOL = "r2-failover";
const WEBSOCKET_TOKEN = "bearer.";

export function isWebSocketUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** The header that accepts what a WebSocket's client offers: a browser drops a connection that leaves its offer open. */
export function acceptedProtocol(request: Request): Record<string, string> {
  return offeredProtocols(request).includes(WEBSOCKET_PROTOCOL) ? { "sec-websocket-protocol": WEBSOCKET_PROTOCOL } : {};
}

function offeredProtocols(request: Request): string[] {
  return (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((offer) => offer.trim());
}

/**
 * Reads the request's token and compares it with the secrets, in time that does not depend on the token. `readsUsers`:
 * whether a user's token is looked into.
 */
export async function credentialsOf(request: Request, env: WorkerEnv, readsUsers: boolean): Promise<Credentials> {
  const sent = sentToken(request, env);
  if (typeof sent !== "string") return sent;
  const given = await digest(sent);
  const [isAdmin, isGateway] = await Promise.all([matches(given, env.ADMIN_TOKEN), matches(given, env.R2_TOKEN)]);
  if (isAdmin) return { kind: "admin" };
  if (isGateway) return { kind: "gateway" };
  if (!looksLikeUserToken(sent)) return { kind: "unknown" };
  return readsUsers ? readUserToken(sent, env) : { kind: "user_unread" };
}

/** The token, or that there is none, or none that can be read. */
function sentToken(request: Request, env: WorkerEnv): string | { readonly kind: "none" | "unreadable" } {
  const header = request.headers.get("authorization");
  if (header !== null) return /^Bearer +(\S+)$/i.exec(header.trim())?.[1] ?? { kind: "unreadable" };
  if (isWebSocketUpgrade(request)) {
    const offer = offeredProtocols(request).find((name) => name.startsWith(WEBSOCKET_TOKEN));
    if (offer !== undefined) return offer.slice(WEBSOCKET_TOKEN.length) || { kind: "unreadable" };
  }
  const assertion = request.headers.get(ACCESS_HEADER)?.trim() ?? "";
  // Access makes this header out of a cookie, which a browser sends along whichever page asks.
  if (assertion === "" || !isKnownOrigin(request, env)) return { kind: "none" };
  return looksLikeUserToken(assertion) ? assertion : { kind: "unreadable" };
}

/** A secret that is set. */
export function isSet(secret: string | undefined): secret is string {
  return secret !== undefined && secret !== "";
}

/** Digests have one length, so that the comparison tells nothing about the secret's. */
async function matches(given: ArrayBuffer, secret: string | undefined): Promise<boolean> {
  return isSet(secret) && crypto.subtle.timingSafeEqual(given, await digest(secret));
}

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
