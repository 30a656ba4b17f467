/** What stands between us and a browser: WebSocket credentials, origins, headers, and the size of requests. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { type Access, authorize } from "../../../src/http/auth";
import { acceptedProtocol } from "../../../src/http/credentials";
import { ROUTES } from "../../../src/http/router";
import type { WorkerEnv } from "../../../src/shared/env";
import { ADMIN, asAdmin, asGateway, GATEWAY, send, verdict } from "./client";
import { mint } from "./user-tokens";

const APP = "https://app.test";

describe("a WebSocket", () => {
  const upgrade = (headers: Record<string, string>) =>
    new Request("https://worker.test/health/ws", { headers: { upgrade: "websocket", ...headers } });

  async function outcome(access: Access, headers: Record<string, string>, more: Partial<WorkerEnv> = {}) {
    const verdict = await authorize(upgrade(headers), { ...env, ...more }, access);
    if (!verdict.ok) return verdict.problem.code;
    return verdict.principal.kind === "user" ? `user ${verdict.principal.userId}` : verdict.principal.kind;
  }

  const offer = (token: string) => ({ "sec-websocket-protocol": `r2-failover, bearer.${token}` });

  test("carries its token among the protocols, where a browser can put it", async () => {
    const token = await mint("u1");
    expect(await outcome("user", offer(token))).toBe("user u1");
    expect(await outcome("user", { "sec-websocket-protocol": `bearer.${token},r2-failover` })).toBe("user u1");
    expect(await outcome("public", offer(ADMIN))).toBe("admin");
    expect(await outcome("public", offer(GATEWAY))).toBe("gateway");
    expect(await outcome("public", offer("wrong"))).toBe("anonymous");
    expect(await outcome("public", {})).toBe("anonymous");
  });

  test("is refused as any call is", async () => {
    expect(await outcome("user", {})).toBe("UNAUTHORIZED");
    expect(await outcome("user", { "sec-websocket-protocol": "r2-failover" })).toBe("UNAUTHORIZED");
    expect(await outcome("user", offer(""))).toBe("UNAUTHORIZED");
    expect(await outcome("user", offer(await mint("u1", { expiresIn: -1 })))).toBe("UNAUTHORIZED");
    expect(await outcome("user", offer("wrong"))).toBe("FORBIDDEN");
    expect(await outcome("user", offer(GATEWAY))).toBe("FORBIDDEN");
  });

  test("may also carry Authorization, which then counts", async () => {
    expect(await outcome("admin", { authorization: `Bearer ${ADMIN}`, ...offer("wrong") })).toBe("admin");
    expect(await outcome("admin", { authorization: "Bearer wrong", ...offer(ADMIN) })).toBe("FORBIDDEN");
  });

  test("offers no token on a call that is none", async () => {
    const response = await send("GET", "/health/config", { headers: offer(ADMIN) });
    expect(await verdict(response)).toBe("401 UNAUTHORIZED");
  });

  test.each<[origin: string | null, origins: string, expected: string]>([
    [null, "", "anonymous"],
    ["https://worker.test", "", "anonymous"],
    ["http://worker.test", "", "FORBIDDEN"],
    [APP, "", "FORBIDDEN"],
    ["null", "", "FORBIDDEN"],
    [APP, APP, "anonymous"],
    [APP, `https://other.test , ${APP}/`, "anonymous"],
    [`${APP}.evil.test`, APP, "FORBIDDEN"],
    ["https://evil.test", "*", "anonymous"],
  ])("from a page of %s with CORS_ORIGINS=%j: %s", async (origin, CORS_ORIGINS, expected) => {
    expect(await outcome("public", origin === null ? {} : { origin }, { CORS_ORIGINS })).toBe(expected);
  });

  test("is answered with the protocol that it offered, and never with its token", () => {
    expect(acceptedProtocol(upgrade(offer("secret")))).toEqual({ "sec-websocket-protocol": "r2-failover" });
    expect(acceptedProtocol(upgrade({ "sec-websocket-protocol": "bearer.secret" }))).toEqual({});
    expect(acceptedProtocol(upgrade({}))).toEqual({});
  });
});

describe("CORS", () => {
  const ask = (path: string, origin: string, CORS_ORIGINS?: string, method = "GET", more = {}) =>
    send(method, path, {
      headers: { origin, ...more },
      env: CORS_ORIGINS === undefined ? {} : { CORS_ORIGINS },
    });
  const corsOf = ({ headers }: Response) =>
    Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-") || name === "vary"));
  const preflight = {
    "access-control-request-method": "PUT",
    "access-control-request-headers": "authorization,if-match",
  };

  test("is off unless CORS_ORIGINS is set", async () => {
    expect(corsOf(await ask("/health/status", APP))).toEqual({});
    const response = await ask("/r2/x", APP, undefined, "OPTIONS", preflight);
    expect(corsOf(response)).toEqual({});
    expect(await verdict(response)).toBe("405 METHOD_NOT_ALLOWED");
  });

  test("lets the listed origins read, errors and all, and no others", async () => {
    const allowed = { vary: "Origin", "access-control-allow-origin": APP, "access-control-expose-headers": "*" };
    expect(corsOf(await ask("/health/status", APP, APP))).toEqual(allowed);
    expect(corsOf(await ask("/health/config", APP, APP))).toEqual(allowed);
    expect(corsOf(await ask("/nowhere", APP, APP))).toEqual(allowed);
    for (const origin of ["https://evil.test", `${APP}.evil.test`, "null", "http://app.test"]) {
      expect(corsOf(await ask("/health/status", origin, APP))).toEqual({ vary: "Origin" });
    }
    expect(corsOf(await ask("/health/status", "https://any.test", "*"))).toMatchObject({
      "access-control-allow-origin": "https://any.test",
    });
  });

  test("answers a preflight, and never lets cookies count", async () => {
    const response = await ask("/r2/x", APP, APP, "OPTIONS", preflight);
    expect(response.status).toBe(204);
    expect(corsOf(response)).toEqual({
      vary: "Origin",
      "access-control-allow-origin": APP,
      "access-control-expose-headers": "*",
      "access-control-allow-methods": "GET, HEAD, PUT, POST, DELETE",
      "access-control-allow-headers": "authorization, *",
      "access-control-max-age": "86400",
    });
    expect(await verdict(await ask("/r2/x", "https://evil.test", APP, "OPTIONS", preflight))).toBe(
      "405 METHOD_NOT_ALLOWED",
    );
  });
});

describe("every answer", () => {
  const EXPECTED = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  };

  beforeAll(async () => {
    await env.R2_BUCKET.put("evil.html", "<script>alert(1)</script>", { httpMetadata: { contentType: "text/html" } });
  });

  test.each([
    ["an object", () => asGateway("GET", "/r2/evil.html"), 200],
    ["a HEAD", () => asGateway("HEAD", "/r2/evil.html"), 200],
    ["an upload", () => asGateway("PUT", "/r2/up", { body: "x" }), 200],
    ["a delete", () => asGateway("DELETE", "/r2/up"), 204],
    ["a record", () => send("GET", "/health/status"), 200],
    ["a refusal", () => send("GET", "/health/config"), 401],
    ["no such path", () => send("GET", "/nowhere"), 404],
    ["a wrong method", () => send("POST", "/health/status"), 405],
    ["a bad request", () => asGateway("GET", "/r2/%ff"), 400],
  ] as const)("%s has the security headers", async (_, run, status) => {
    const response = await run();
    expect(response.status).toBe(status);
    expect(Object.fromEntries(Object.keys(EXPECTED).map((name) => [name, response.headers.get(name)]))).toEqual(
      EXPECTED,
    );
    expect(response.headers.has("strict-transport-security")).toBe(false);
    await response.body?.cancel();
  });
});

describe("a request that is too large is told so, before anything is done", () => {
  test("headers over 32 KiB: 431", async () => {
    const fits = { "x-a": "a".repeat(20_000), "x-b": "b".repeat(10_000) };
    expect((await send("GET", "/health/live", { headers: fits })).status).toBe(200);
    const headers = { ...fits, "x-c": "c".repeat(3_000) };
    expect(await verdict(await send("GET", "/health/live", { headers }))).toBe("431 HEADERS_TOO_LARGE");
  });

  test("a URL over 16 KiB: 414", async () => {
    expect(await verdict(await send("GET", `/health/live?x=${"x".repeat(17_000)}`))).toBe("414 URI_TOO_LONG");
  });

  test("a JSON body over 64 KiB: 413, also where its length is not said", async () => {
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(" ".repeat(16 * 1024))),
    });
    expect(await verdict(await asAdmin("POST", "/health/check", { body }))).toBe("413 PAYLOAD_TOO_LARGE");
  });
});

test("public answers hold no reason, key, user id, shard, actor or error text", async () => {
  const planted = { reason: "planted-reason", user: "planted-user", key: "users/planted-user/planted-key" };
  const faults = "/health/services/R2_STORAGE/faults";
  await asAdmin("PUT", faults, { json: { faults: [{ operations: "write", error_code: 10001 }] } });
  const token = await mint(planted.user);
  expect((await send("PUT", `/r2/${planted.key}`, { token, body: "x" })).status).toBe(202);
  await asAdmin("POST", "/health/services/R2_STORAGE/degrade", { json: { reason: planted.reason } });
  await asAdmin("POST", "/health/queue/pause", {});

  const open = ROUTES.filter(({ method, access }) => method === "GET" && access === "public");
  expect(open.length).toBeGreaterThan(6);
  for (const { path } of open) {
    const response = await send("GET", path.replace(/:serviceName|:service/, "R2_STORAGE"));
    const text = await response.text();
    expect([path, text.match(/planted-\w+|"shards":\[|"actor":"|"error_code":\d|[0-9]-[0-9a-f]{8}-/)?.[0]]).toEqual([
      path,
      undefined,
    ]);
  }
  const details = await (await asAdmin("GET", "/health/events?limit=1000")).text();
  expect(details).toContain(planted.reason);
  await asAdmin("DELETE", faults);
});
