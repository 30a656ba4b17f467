import { expect, test } from "vitest";
import { ROUTES } from "../../../src/http/router";
import { ADMIN, GATEWAY, send, verdict } from "./client";

/** Who may make which call: the interface's own words (P), (A), (G). A route that is not listed here fails a test. */
const ACCESS: Record<string, "public" | "gateway" | "gateway_read" | "admin"> = {
  "PUT /r2/:key+": "gateway",
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
  "GET /health/events": "public",
  "GET /health/r2/status": "public",
  "POST /health/r2/test": "admin",
  "POST /health/check": "admin",
  "PUT /health/services/:serviceName/mode": "admin",
  "POST /health/services/:serviceName/degrade": "admin",
  "POST /health/services/:serviceName/recover": "admin",
  "GET /health/services/:serviceName/faults": "admin",
  "PUT /health/services/:serviceName/faults": "admin",
  "DELETE /health/services/:serviceName/faults": "admin",
  "GET /health/queue/status": "public",
  "GET /health/queue/operations": "admin",
  "GET /health/queue/operations/:id": "gateway",
  "GET /health/queue/operations/:id/payload": "admin",
  "POST /health/queue/operations/:id/retry": "admin",
  "POST /health/queue/operations/:id/cancel": "admin",
  "POST /health/queue/redrive": "admin",
  "POST /health/queue/pause": "admin",
  "POST /health/queue/resume": "admin",
  "GET /health/config": "admin",
  "PUT /health/config/:service/:key": "admin",
};

const routes = ROUTES.map(({ method, path }) => ({ method, path, name: `${method} ${path}` }));
const concrete = (path: string) =>
  path
    .replace(":key+", "auth/key.txt")
    .replace(":serviceName", "R2_STORAGE")
    .replace(":service", "R2_STORAGE")
    .replace(":id", "0-00000000-none")
    .replace(":key", "max_retries");

const REFUSED = /UNAUTHORIZED|FORBIDDEN|AUTH_NOT_CONFIGURED/;

test("every route says here who may make the call, and no other does", () => {
  expect(routes.map(({ name }) => name).sort()).toEqual(Object.keys(ACCESS).sort());
});

const guarded = routes.filter(({ name }) => ACCESS[name] !== "public");

test.each(guarded)("$name: 401 without credentials, with WWW-Authenticate", async ({ method, path }) => {
  const response = await send(method, concrete(path));
  expect(response.headers.get("www-authenticate")).toMatch(/^Bearer /);
  expect(await verdict(response)).toBe("401 UNAUTHORIZED");
});

test.each(guarded)("$name: 401 with credentials that cannot be read", async ({ method, path }) => {
  for (const authorization of ["Basic ZGV2OmRldg==", "Bearer", "Bearer a b", ADMIN]) {
    expect(await verdict(await send(method, concrete(path), { headers: { authorization } }))).toBe("401 UNAUTHORIZED");
  }
});

test.each(guarded)("$name: 403 with a wrong token", async ({ method, path }) => {
  for (const token of ["wrong", `${ADMIN}x`, ADMIN.slice(1)]) {
    expect(await verdict(await send(method, concrete(path), { token }))).toBe("403 FORBIDDEN");
  }
});

test.each(guarded)(
  "$name: 503 AUTH_NOT_CONFIGURED while its secret is not set, whatever is sent",
  async ({ method, path, name }) => {
    const secret = ACCESS[name] === "admin" ? "ADMIN_TOKEN" : "R2_TOKEN";
    for (const token of [null, "undefined", "null"]) {
      const response = await send(method, concrete(path), { token, env: { [secret]: "" } });
      expect(response.headers.has("retry-after")).toBe(false);
      expect(await verdict(response)).toBe("503 AUTH_NOT_CONFIGURED");
    }
  },
);

test.each(routes.filter(({ name }) => ACCESS[name] === "admin"))(
  "$name: 403 with the gateway token",
  async ({ method, path }) => {
    expect(await verdict(await send(method, concrete(path), { token: GATEWAY }))).toBe("403 FORBIDDEN");
  },
);

test.each(routes.filter(({ name }) => ACCESS[name] !== "admin"))(
  "$name: open to the gateway token",
  async ({ method, path }) => {
    expect(await verdict(await send(method, concrete(path), { token: GATEWAY }))).not.toMatch(REFUSED);
  },
);

test.each(routes)("$name: open to the admin token", async ({ method, path }) => {
  expect(await verdict(await send(method, concrete(path), { token: ADMIN }))).not.toMatch(REFUSED);
});

test.each(routes.filter(({ name }) => ACCESS[name] === "public"))(
  "$name: open to anyone, with wrong credentials too, and with no secret set",
  async ({ method, path }) => {
    expect(await verdict(await send(method, concrete(path)))).not.toMatch(REFUSED);
    expect(await verdict(await send(method, concrete(path), { token: "wrong" }))).not.toMatch(REFUSED);
    const bare = { ADMIN_TOKEN: "", R2_TOKEN: "" };
    expect(await verdict(await send(method, concrete(path), { env: bare }))).not.toMatch(REFUSED);
  },
);

test("R2_PUBLIC_READ=true opens reads to anyone, and no writes", async () => {
  const env = { R2_PUBLIC_READ: "true" };
  expect(await verdict(await send("GET", "/r2/none", { env }))).toBe("404 NOT_FOUND");
  expect((await send("HEAD", "/r2/none", { env })).status).toBe(404);
  expect(await verdict(await send("PUT", "/r2/none", { env, body: "x" }))).toBe("401 UNAUTHORIZED");
  expect(await verdict(await send("DELETE", "/r2/none", { env }))).toBe("401 UNAUTHORIZED");
});

test.each(["TRUE", "1", "yes", "", "false"])("R2_PUBLIC_READ=%j opens nothing", async (value) => {
  expect(await verdict(await send("GET", "/r2/none", { env: { R2_PUBLIC_READ: value } }))).toBe("401 UNAUTHORIZED");
});
