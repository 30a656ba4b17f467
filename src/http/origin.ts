/** Which pages of other origins may call, and what their browsers are told. Off unless `CORS_ORIGINS` is set. */
import type { WorkerEnv } from "../shared/env";

const DAY_S = 86_400;

type OriginEnv = Pick<WorkerEnv, "CORS_ORIGINS">;

/** Null: no other origin may call. */
function configuredOrigins(env: OriginEnv): readonly string[] | null {
  const origins = (env.CORS_ORIGINS ?? "").split(",").map((origin) => origin.trim().replace(/\/$/, ""));
  const given = origins.filter((origin) => origin !== "");
  return given.length === 0 ? null : given;
}

/** Whether a request comes from no page, from a page of ours, or from one that is listed by its name. */
export function isKnownOrigin(request: Request, env: OriginEnv): boolean {
  const origin = request.headers.get("origin");
  if (origin === null || origin === new URL(request.url).origin) return true;
  return configuredOrigins(env)?.includes(origin) ?? false;
}

/** The same, where `*` lets any page in: for calls that carry no credentials but those that the page itself knows. */
export function isAllowedOrigin(request: Request, env: OriginEnv): boolean {
  return isKnownOrigin(request, env) || (configuredOrigins(env)?.includes("*") ?? false);
}

/** What a browser needs to hand the answer to a page. Never `allow-credentials`: no cookie is ever ours. */
export function corsHeaders(request: Request, env: OriginEnv): Record<string, string> {
  const origins = configuredOrigins(env);
  if (origins === null) return {};
  const origin = request.headers.get("origin");
  // Caches must keep the answers for different origins apart, also those for none.
  if (origin === null || !(origins.includes(origin) || origins.includes("*"))) return { vary: "Origin" };
  return { vary: "Origin", "access-control-allow-origin": origin, "access-control-expose-headers": "*" };
}

/** The answer to a preflight, or null: it is none, or not from an origin that may call. */
export function preflight(request: Request, env: OriginEnv): Response | null {
  const headers = corsHeaders(request, env);
  const isPreflight = request.method === "OPTIONS" && request.headers.has("access-control-request-method");
  if (!isPreflight || headers["access-control-allow-origin"] === undefined) return null;
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, HEAD, PUT, POST, DELETE",
      // The wildcard leaves Authorization out.
      "access-control-allow-headers": "authorization, *",
      "access-control-max-age": String(DAY_S),
    },
  });
}
