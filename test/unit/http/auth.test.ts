import { describe, expect, test } from "vitest";
import { decide, type Secrets } from "../../../src/http/auth";
import type { Credentials } from "../../../src/http/credentials";

const ALL: Secrets = { admin: true, gateway: true, user: true };
const NONE: Secrets = { admin: false, gateway: false, user: false };

type Access = Parameters<typeof decide>[0];
type Kind = Credentials["kind"];

const SAID: Partial<Record<Kind, Credentials>> = {
  user: { kind: "user", userId: "u1" },
  invalid: { kind: "invalid", why: "It has expired." },
  foreign: { kind: "foreign", why: "It was made for another audience." },
};

function outcome(access: Access, kind: Kind, secrets: Secrets): string {
  const verdict = decide(access, SAID[kind] ?? ({ kind } as Credentials), secrets);
  return verdict.ok ? verdict.principal.kind : `${verdict.problem.status} ${verdict.problem.code}`;
}

const UNAUTHORIZED = "401 UNAUTHORIZED";
const FORBIDDEN = "403 FORBIDDEN";
const CLOSED = "503 AUTH_NOT_CONFIGURED";
const LATER = "503 SERVICE_UNAVAILABLE";

describe("with all secrets set", () => {
  const columns: Access[] = ["public", "gateway", "user", "admin"];
  const rows: Record<Kind, [string, string, string, string]> = {
    none: ["anonymous", UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
    unreadable: ["anonymous", UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
    unknown: ["anonymous", FORBIDDEN, FORBIDDEN, FORBIDDEN],
    invalid: ["anonymous", UNAUTHORIZED, UNAUTHORIZED, UNAUTHORIZED],
    foreign: ["anonymous", FORBIDDEN, FORBIDDEN, FORBIDDEN],
    user_unread: ["anonymous", CLOSED, CLOSED, FORBIDDEN],
    keys_unavailable: ["anonymous", LATER, LATER, FORBIDDEN],
    user: ["anonymous", "user", "user", FORBIDDEN],
    gateway: ["gateway", "gateway", FORBIDDEN, FORBIDDEN],
    admin: ["admin", "admin", "admin", "admin"],
  };
  const table = Object.entries(rows).flatMap(([kind, expected]) =>
    columns.map((access, index) => [access, kind as Kind, expected[index] ?? ""] as const),
  );
  test.each(table)("a %s call with credentials %s: %s", (access, kind, expected) => {
    expect(outcome(access, kind, ALL)).toBe(expected);
  });
});

describe("a call whose guards are all unset is closed, whatever is sent, and is never opened by that", () => {
  const kinds: Kind[] = ["none", "unreadable", "unknown", "invalid", "foreign", "user_unread", "keys_unavailable"];
  test.each(["gateway", "user", "admin"] as const)("%s", (access) => {
    for (const kind of kinds) expect(outcome(access, kind, NONE)).toBe(CLOSED);
  });

  test.each<[Access, Kind, Secrets, string]>([
    ["admin", "gateway", { ...ALL, admin: false }, CLOSED],
    ["admin", "user", { ...ALL, admin: false }, CLOSED],
    ["gateway", "admin", { ...ALL, gateway: false, user: false }, "admin"],
    ["gateway", "none", { ...ALL, gateway: false, user: false }, CLOSED],
    ["gateway", "none", { ...ALL, gateway: false }, UNAUTHORIZED],
    ["gateway", "user", { ...NONE, user: true }, "user"],
    ["gateway", "gateway", { ...NONE, gateway: true }, "gateway"],
    ["user", "none", { ...ALL, user: false }, UNAUTHORIZED],
    ["user", "none", { ...ALL, user: false, admin: false }, CLOSED],
    ["public", "none", NONE, "anonymous"],
  ])("a %s call with credentials %s and %o: %s", (access, kind, secrets, expected) => {
    expect(outcome(access, kind, secrets)).toBe(expected);
  });
});

test("a 401 says how to authenticate", () => {
  const verdict = decide("admin", { kind: "none" }, ALL);
  expect(verdict.ok ? null : verdict.problem.headers?.["www-authenticate"]).toMatch(/^Bearer realm=/);
});

test("a missing secret does not pass by waiting, so its 503 has no Retry-After; keys that cannot be fetched do", () => {
  const closed = decide("admin", { kind: "none" }, NONE);
  expect(closed.ok ? null : closed.problem.headers?.["retry-after"]).toBeUndefined();
  const later = decide("user", { kind: "keys_unavailable" }, ALL);
  expect(later.ok ? null : later.problem.headers?.["retry-after"]).toMatch(/^\d+$/);
});
