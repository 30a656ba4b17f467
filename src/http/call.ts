import type { WorkerEnv } from "../shared/env";
import type { Actor } from "../shared/records";
import type { Principal } from "./auth";

/** One authorised request, as a route's handler sees it. */
export interface Call {
  readonly request: Request;
  readonly env: WorkerEnv;
  readonly url: URL;
  /** Path parameters, still percent-encoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly principal: Principal;
  readonly requestId: string;
}

export type Handler = (call: Call) => Promise<Response> | Response;

/** Reasons, event data, shards, keys and error texts are about everybody, so a user's token is not enough. */
export function seesDetails({ principal }: Call): boolean {
  return principal.kind === "gateway" || principal.kind === "admin";
}

/** Who acts, for the record of an action by hand. */
export function actorOf({ principal, requestId }: Call): Actor {
  return { actor: principal.kind === "user" ? `user:${principal.userId}` : principal.kind, requestId };
}

/** State changes by the second: no answer about it may come out of a cache. */
export function json(body: unknown, init: { status?: number; headers?: Record<string, string> } = {}): Response {
  return new Response(JSON.stringify(body), {
    status: init.status ?? 200,
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store", ...init.headers },
  });
}
