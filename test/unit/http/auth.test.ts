import { describe, expect, test } from "vitest";
import { type Credentials, decide } from "../../../src/http/auth";

const both = { admin: true, gateway: true };
const neither = { admin: false, gateway: false };

type Row = [access: "public" | "gateway" | "admin", credentials: Credentials, expected: string];

function outcome(access: Row[0], credentials: Credentials, secrets: { admin: boolean; gateway: boolean }): string {
  const verdict = decide(access, credentials, secrets);
  return verdict.ok ? verdict.principal : `${verdict.problem.status} ${verdict.problem.code}`;
}

describe("with both secrets set", () => {
  const rows: Row[] = [
    ["public", "none", "anonymous"],
    ["public", "unreadable", "anonymous"],
    ["public", "unknown", "anonymous"],
    ["public", "gateway", "gateway"],
    ["public", "admin", "admin"],
    ["gateway", "none", "401 UNAUTHORIZED"],
    ["gateway", "unreadable", "401 UNAUTHORIZED"],
    ["gateway", "unknown", "403 FORBIDDEN"],
    ["gateway", "gateway", "gateway"],
    ["gateway", "admin", "admin"],
    ["admin", "none", "401 UNAUTHORIZED"],
    ["admin", "unreadable", "401 UNAUTHORIZED"],
    ["admin", "unknown", "403 FORBIDDEN"],
    ["admin", "gateway", "403 FORBIDDEN"],
    ["admin", "admin", "admin"],
  ];
  test.each(rows)("a %s call with credentials %s: %s", (access, credentials, expected) => {
    expect(outcome(access, credentials, both)).toBe(expected);
  });
});

describe("a secret that is not set closes what it guards, and never opens it", () => {
  test.each<[Row[0], Credentials, string]>([
    ["admin", "none", "503 AUTH_NOT_CONFIGURED"],
    ["admin", "unknown", "503 AUTH_NOT_CONFIGURED"],
    ["gateway", "none", "503 AUTH_NOT_CONFIGURED"],
    ["gateway", "unknown", "503 AUTH_NOT_CONFIGURED"],
    ["public", "none", "anonymous"],
  ])("a %s call with credentials %s: %s", (access, credentials, expected) => {
    expect(outcome(access, credentials, neither)).toBe(expected);
  });

  test("the gateway token opens no admin call when the admin token is not set", () => {
    expect(outcome("admin", "gateway", { admin: false, gateway: true })).toBe("503 AUTH_NOT_CONFIGURED");
  });

  test("the admin token still opens the gateway when the gateway token is not set", () => {
    expect(outcome("gateway", "admin", { admin: true, gateway: false })).toBe("admin");
  });
});

test("a 401 says how to authenticate", () => {
  const verdict = decide("admin", "none", both);
  expect(verdict.ok ? null : verdict.problem.headers?.["www-authenticate"]).toMatch(/^Bearer realm=/);
});

test("a missing secret does not pass by waiting, so its 503 has no Retry-After", () => {
  const verdict = decide("admin", "none", neither);
  expect(verdict.ok ? null : verdict.problem.headers?.["retry-after"]).toBeUndefined();
});
