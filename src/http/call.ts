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

/** Reasons, event data, shards, keys and error texts need a token. */
export function seesDetails(call: Call): boolean {
  return call.principal !== "anonymous";
}

/** Who acts, for the record of an action by hand. */
export function actorOf(call: Call): Actor {
  return { actor: call.principal, requestId: call.requestId };
}

/** State changes by the second: no answer about it may come out of a cache. */
export function json(body: unknown, init: { status?: number; headers?: Record<string, string> } = {}): Response {
  return new Response(JSON.stringify(body), {
    status: init.status ?? 200,
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store", ...init.headers },
  });
}
