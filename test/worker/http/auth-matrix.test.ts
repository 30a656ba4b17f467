import { describe, expect, test } from "vitest";
import { ROUTES } from "../../../src/http/router";
import type { WorkerEnv } from "../../../src/shared/env";
import { ADMIN, GATEWAY, send, verdict } from "./client";
import { mint, unsigned } from "./user-tokens";

type Access = "public" | "gateway" | "gateway_read" | "user" | "admin";

/** Who may make which call: the interface's own words (P), (A), (G), (U). A route that is not listed here fails a test. */
const ACCESS: Record<string, Access> = {
  "PUT /r2/:key+": "gateway",
  "POST /r2/:key+": "gateway",
  "GET /r2/:key+": "gateway_read",
  "DELETE /r2/:key+": "gateway",
  "PUT /r2": "gateway",
  "GET /r2": "gateway_read",
  "DELETE /r2": "gateway",
  "GET /health/live": "public",
  "GET /health/ready": "public",
  "GET /health/status": "public",
  "GET /health/services": "public",
  "GET /health/services/:serviceName": "public",
  "GET /health/services/:serviceName/availability": "public",
  "GET /health/incidents": "public",
  "GET /health/events": "public",
  "GET /health/ws": "public",
  "GET /health/r2/status": "public",
  "POST /health/r2/test": "admin",
  "POST /health/check": "admin",
  "POST /health/monitor/start": "admin",
  "POST /health/monitor/stop": "admin",
  "PUT /health/services/:serviceName/mode": "admin",
  "POST /health/services/:serviceName/degrade": "admin",
  "POST /health/services/:serviceName/recover": "admin",
  "GET /health/services/:serviceName/faults": "admin",
  "PUT /health/services/:serviceName/faults": "admin",
  "DELETE /health/services/:serviceName/faults": "admin",
  "GET /metrics": "public",
  "GET /openapi.json": "public",
  "GET /health/summary.json": "public",
  "GET /health/badges/:serviceName/:badge": "public",
  "GET /health/queue/status": "public",
  "GET /health/queue/operations": "user",
  "GET /health/queue/operations/:id": "gateway",
  "GET /health/queue/operations/:id/payload": "admin",
  "POST /health/queue/operations/:id/retry": "admin",
  "POST /health/queue/operations/:id/cancel": "user",
  "GET /health/queue/export": "admin",
  "POST /health/queue/redrive": "admin",
  "POST /health/queue/pause": "admin",
  "POST /health/queue/resume": "admin",
  "GET /health/config": "admin",
  "PUT /health/config/:service/:key": "admin",
};

/** A user's own prefix, so that what is looked at is the route and not the key. */
const concrete = (path: string) =>
  path
    .replace("/r2/:key+", "/r2/users/u1/key.txt")
    .replace(/\/r2$/, "/r2?prefix=users%2Fu1%2F")
    .replace(":serviceName", "R2_STORAGE")
    .replace(":badge", "status.svg")
    .replace(":service", "R2_STORAGE")
    .replace(":id", "0-00000000-none")
    .replace(":key", "max_retries");
const routes = ROUTES.map(({ method, path }) => ({ method, path: concrete(path), name: `${method} ${path}` }));
const accessOf = (name: string): Access => ACCESS[name] ?? "admin";

test("every route says here who may make the call, and no other does", () => {
  expect(routes.map(({ name }) => name).sort()).toEqual(Object.keys(ACCESS).sort());
});

/** Callers, by what they send. */
interface Caller {
  readonly token?: () => string | Promise<string>;
  readonly authorization?: string;
  /** What differs in the Worker's environment for this one. */
  readonly env?: Partial<WorkerEnv>;
}
const CALLERS: Record<string, Caller> = {
  anonymous: {},
  "another scheme": { authorization: "Basic ZGV2OmRldg==" },
  "an empty Bearer": { authorization: "Bearer" },
  "a Bearer of two words": { authorization: "Bearer a b" },
  "a token without a scheme": { authorization: ADMIN },
  "a wrong token": { token: () => "wrong" },
  "the admin token and a letter": { token: () => `${ADMIN}x` },
  "the admin token but its first letter": { token: () => ADMIN.slice(1) },
  "an expired user": { token: () => mint("u1", { expiresIn: -1 }) },
  "a user who never expires": { token: () => mint("u1", { expiresIn: null }) },
  "a user who is not yet": { token: () => mint("u1", { claims: { nbf: Math.floor(Date.now() / 1_000) + 600 } }) },
  "a user with another signature": { token: () => mint("u1", { secret: "dev-userz" }) },
  "a user signed with HS512": { token: () => mint("u1", { alg: "HS512" }) },
  "a user signed by nobody": { token: () => unsigned("u1") },
  "a token of three parts that says nothing": { token: () => "a.b.c" },
  "a user for another audience": {
    token: () => mint("u1", { claims: { aud: "another" } }),
    env: { USER_JWT_AUDIENCE: "this one" },
  },
  "a token without a user": { token: () => mint("") },
  "a user": { token: () => mint("u1") },
  "the gateway": { token: () => GATEWAY },
  admin: { token: () => ADMIN },
};

const [OPEN, UNAUTHORIZED, FORBIDDEN, CLOSED] = [
  "open",
  "401 UNAUTHORIZED",
  "403 FORBIDDEN",
  "503 AUTH_NOT_CONFIGURED",
];

/** What each caller is told, with every secret set. The last columns: calls of gateway (and gateway_read), user, admin. */
const EXPECTED: Record<string, [gateway: string, user: string, admin: string]> = {
  anonymous: [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "another scheme": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "an empty Bearer": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a Bearer of two words": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a token without a scheme": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a wrong token": [FORBIDDEN, FORBIDDEN, FORBIDDEN],
  "the admin token and a letter": [FORBIDDEN, FORBIDDEN, FORBIDDEN],
  "the admin token but its first letter": [FORBIDDEN, FORBIDDEN, FORBIDDEN],
  "an expired user": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a user who never expires": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a user who is not yet": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a user with another signature": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a user signed with HS512": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a user signed by nobody": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a token of three parts that says nothing": [UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
  "a user for another audience": [FORBIDDEN, FORBIDDEN, FORBIDDEN],
  "a token without a user": [FORBIDDEN, FORBIDDEN, FORBIDDEN],
  "a user": [OPEN, OPEN, FORBIDDEN],
  "the gateway": [OPEN, FORBIDDEN, FORBIDDEN],
  admin: [OPEN, OPEN, OPEN],
};

function expectedOf(caller: string, access: Access): string {
  const [gateway, user, admin] = EXPECTED[caller] ?? ["", "", ""];
  return { public: OPEN, gateway, gateway_read: gateway, user, admin }[access];
}

/** `open`: the call got past its guard, whatever it then found. */
async function guardOf(method: string, path: string, caller: string, env: Partial<WorkerEnv> = {}): Promise<string> {
  const { token, authorization, env: differing } = CALLERS[caller] ?? {};
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const response = await send(method, path, {
    headers,
    token: (await token?.()) ?? null,
    env: { ...env, ...differing },
  });
  if (response.status === 401) expect(response.headers.get("www-authenticate")).toMatch(/^Bearer /);
  const found = await verdict(response);
  if (found === CLOSED) expect(response.headers.has("retry-after")).toBe(false);
  return /UNAUTHORIZED|FORBIDDEN|AUTH_NOT_CONFIGURED/.test(found) ? found : OPEN;
}

describe.each(routes)("$name", ({ method, path, name }) => {
  const access = accessOf(name);

  test("lets in whom it should, and tells everybody else why not", async () => {
    const found: Record<string, string> = {};
    for (const caller of Object.keys(CALLERS)) found[caller] = await guardOf(method, path, caller);
    const expected = Object.keys(CALLERS).map((caller) => [caller, expectedOf(caller, access)]);
    expect(found).toEqual(Object.fromEntries(expected));
  });

  /** The secrets by which somebody can be let in, besides the operators'. */
  const secrets: Record<Access, (keyof WorkerEnv)[]> = {
    public: [],
    gateway: ["R2_TOKEN", "USER_JWT_SECRET"],
    gateway_read: ["R2_TOKEN", "USER_JWT_SECRET"],
    user: ["USER_JWT_SECRET", "ADMIN_TOKEN"],
    admin: ["ADMIN_TOKEN"],
  };

  test("is closed to all but operators while no secret that guards it is set, whatever is sent", async () => {
    const unset = Object.fromEntries(secrets[access].map((secret) => [secret, ""]));
    const callers = Object.keys(CALLERS).filter((caller) => caller !== "admin");
    for (const caller of callers) {
      expect([caller, await guardOf(method, path, caller, unset)]).toEqual([
        caller,
        access === "public" ? OPEN : CLOSED,
      ]);
    }
    for (const token of ["undefined", "null", "a.b.c"]) {
      const found = await verdict(await send(method, path, { token, env: unset }));
      if (access !== "public") expect(found).toBe(CLOSED);
    }
  });

  test("lets nobody in by one secret that is not set", async () => {
    for (const [secret, caller] of [
      ["ADMIN_TOKEN", "admin"],
      ["R2_TOKEN", "the gateway"],
      ["USER_JWT_SECRET", "a user"],
    ] as const) {
      const found = await guardOf(method, path, caller, { [secret]: "" });
      if (access !== "public") expect([caller, found]).not.toEqual([caller, OPEN]);
      else expect(found).toBe(OPEN);
    }
  });
});

test("R2_PUBLIC_READ=true opens reads to anyone, and no writes", async () => {
  const env = { R2_PUBLIC_READ: "true" };
  expect(await verdict(await send("GET", "/r2/none", { env }))).toBe("404 NOT_FOUND");
  expect((await send("HEAD", "/r2/none", { env })).status).toBe(404);
  expect(await verdict(await send("PUT", "/r2/none", { env, body: "x" }))).toBe("401 UNAUTHORIZED");
  expect(await verdict(await send("DELETE", "/r2/none", { env }))).toBe("401 UNAUTHORIZED");
  expect(await verdict(await send("POST", "/r2/none?uploads", { env }))).toBe("401 UNAUTHORIZED");
});

test.each(["TRUE", "1", "yes", "", "false"])("R2_PUBLIC_READ=%j opens nothing", async (value) => {
  expect(await verdict(await send("GET", "/r2/none", { env: { R2_PUBLIC_READ: value } }))).toBe("401 UNAUTHORIZED");
});
