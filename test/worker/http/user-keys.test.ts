/** Users' tokens that are checked with a set of public keys, as those of Cloudflare Access are. */
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { WorkerEnv } from "../../../src/shared/env";
import { send, verdict } from "./client";
import { mint } from "./user-tokens";

const AUDIENCE = "the-application";
/** Past its guard this call asks nobody: there is no such operation. */
const GUARDED = "/health/queue/operations/none";
const LET_IN = "404 NOT_FOUND";

let keys: CryptoKeyPair;
let strangers: CryptoKeyPair;
/** Each test has a key set of its own: the isolate remembers them by their URL. */
let url = "";
let fetched = 0;
let answer: () => Response | Promise<Response>;

beforeAll(async () => {
  keys = await generateKeyPair("RS256", { extractable: true });
  strangers = await generateKeyPair("RS256");
});

beforeEach(async () => {
  url = `https://${crypto.randomUUID()}.cloudflareaccess.test/cdn-cgi/access/certs`;
  fetched = 0;
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: "key-1", alg: "RS256", use: "sig" };
  answer = () => Response.json({ keys: [jwk] });
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    if (String(input) !== url) throw new Error(`nobody should fetch ${String(input)}`);
    fetched += 1;
    return answer();
  });
});

afterEach(() => vi.restoreAllMocks());

const keySet = (): Partial<WorkerEnv> => ({
  USER_JWT_SECRET: "",
  USER_JWKS_URL: url,
  USER_JWT_AUDIENCE: AUDIENCE,
});

function signed(claims: JWTPayload = {}, key = keys.privateKey, kid = "key-1"): Promise<string> {
  return new SignJWT({ sub: "u1", aud: [AUDIENCE], ...claims })
    .setProtectedHeader({ alg: "RS256", kid })
    .setIssuedAt()
    .setExpirationTime(claims.exp ?? "1h")
    .sign(key);
}

async function outcome(token: string, env: Partial<WorkerEnv> = {}, path = GUARDED): Promise<string> {
  return verdict(await send("GET", path, { token, env: { ...keySet(), ...env } }));
}

test("a token of the set's key is taken, and the keys are fetched once for many", async () => {
  for (let n = 0; n < 5; n += 1) expect(await outcome(await signed())).toBe(LET_IN);
  expect(fetched).toBe(1);
});

describe("what is refused", () => {
  test("another audience, or none: 403", async () => {
    expect(await outcome(await signed({ aud: "another-application" }))).toBe("403 FORBIDDEN");
    const none = await new SignJWT({ sub: "u1" })
      .setProtectedHeader({ alg: "RS256", kid: "key-1" })
      .setExpirationTime("1h")
      .sign(keys.privateKey);
    expect(await outcome(none)).toBe("403 FORBIDDEN");
  });

  test("no user, as in a service token of Access: 403", async () => {
    expect(await outcome(await signed({ sub: "", common_name: "robot" }))).toBe("403 FORBIDDEN");
  });

  test("expired, or signed by a stranger: 401", async () => {
    expect(await outcome(await signed({ exp: Math.floor(Date.now() / 1_000) - 1 }))).toBe("401 UNAUTHORIZED");
    expect(await outcome(await signed({}, strangers.privateKey))).toBe("401 UNAUTHORIZED");
  });

  test("a key that the set does not have: 401, and the set is not fetched for each", async () => {
    for (let n = 0; n < 5; n += 1) {
      expect(await outcome(await signed({}, strangers.privateKey, `key-${n + 2}`))).toBe("401 UNAUTHORIZED");
    }
    expect(fetched).toBe(1);
  });

  test("a public key taken for the secret of HS256: 401", async () => {
    const { n = "" } = await exportJWK(keys.publicKey);
    expect(await outcome(await mint("u1", { secret: n, claims: { aud: AUDIENCE } }))).toBe("401 UNAUTHORIZED");
  });
});

describe("the keys cannot be fetched", () => {
  const failures: [string, () => Response | Promise<Response>][] = [
    ["the server fails", () => new Response("no", { status: 500 })],
    ["it answers no JSON", () => new Response("<html>")],
    ["it answers no keys", () => Response.json({ hello: "world" })],
    ["it redirects", () => new Response(null, { status: 302, headers: { location: "https://evil.test/" } })],
    ["nobody answers", () => Promise.reject(new TypeError("Network connection lost"))],
  ];
  test.each(failures)("%s: 503 with Retry-After, told apart from a wrong token", async (_, failure) => {
    answer = failure;
    const response = await send("GET", GUARDED, { token: await signed(), env: keySet() });
    expect(response.headers.get("retry-after")).toMatch(/^\d+$/);
    expect(await verdict(response)).toBe("503 SERVICE_UNAVAILABLE");
  });

  test("it passes by itself, and closes neither public calls nor the operators'", async () => {
    const works = answer;
    answer = () => new Response("no", { status: 500 });
    const token = await signed();
    expect(await outcome(token)).toBe("503 SERVICE_UNAVAILABLE");
    expect(await outcome(token, {}, "/health/live")).toBe("200");
    expect(await outcome("dev-admin")).toBe(LET_IN);
    expect(await outcome(token, {}, "/health/config")).toBe("403 FORBIDDEN");
    answer = works;
    expect(await outcome(token)).toBe(LET_IN);
  });
});

describe("what is not set up closes", () => {
  test.each<[string, Partial<WorkerEnv>]>([
    ["no audience: another application's users would get in", { USER_JWT_AUDIENCE: "" }],
    ["no URL", { USER_JWKS_URL: "" }],
    ["a URL that is none", { USER_JWKS_URL: "certs" }],
    ["keys over plain HTTP", { USER_JWKS_URL: "http://team.test/certs" }],
  ])("%s", async (_, env) => {
    expect(await outcome(await signed(), env)).toBe("503 AUTH_NOT_CONFIGURED");
    expect(fetched).toBe(0);
  });
});

test("beside a set of keys a secret works too, each with its own algorithm", async () => {
  const both = { USER_JWT_SECRET: "dev-users" };
  expect(await outcome(await signed(), both)).toBe(LET_IN);
  expect(await outcome(await mint("u1", { claims: { aud: AUDIENCE } }), both)).toBe(LET_IN);
  expect(await outcome(await mint("u1", { secret: "another", claims: { aud: AUDIENCE } }), both)).toBe(
    "401 UNAUTHORIZED",
  );
});

describe("behind Cloudflare Access the token is in a header of its own", () => {
  const assertion = async (headers: Record<string, string> = {}, env: Partial<WorkerEnv> = {}) =>
    verdict(
      await send("GET", GUARDED, {
        headers: { "cf-access-jwt-assertion": await signed(), ...headers },
        env: { ...keySet(), ...env },
      }),
    );

  test("which is taken where Authorization is not sent", async () => {
    expect(await assertion()).toBe(LET_IN);
    expect(await assertion({ origin: "http://worker.test" })).toBe(LET_IN);
    expect(await assertion({ authorization: "Bearer wrong" })).toBe("403 FORBIDDEN");
  });

  test("but not for a page of another origin, since a cookie stands behind it, which a browser sends for any", async () => {
    expect(await assertion({ origin: "https://evil.test" })).toBe("401 UNAUTHORIZED");
    expect(await assertion({ origin: "null" })).toBe("401 UNAUTHORIZED");
    expect(await assertion({ origin: "https://evil.test" }, { CORS_ORIGINS: "*" })).toBe("401 UNAUTHORIZED");
    expect(await assertion({ origin: "https://app.test" }, { CORS_ORIGINS: "https://app.test" })).toBe(LET_IN);
  });

  test("and in which no secret of ours is a credential", async () => {
    const response = await send("GET", GUARDED, { headers: { "cf-access-jwt-assertion": "dev-admin" } });
    expect(await verdict(response)).toBe("401 UNAUTHORIZED");
  });
});
