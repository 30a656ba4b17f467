import { describe, expect, test } from "vitest";
import type { Call } from "../../../src/http/call";
import { requireReach, userPrefix } from "../../../src/http/user-scope";

const code = (run: () => unknown): unknown => {
  try {
    return run() ?? "allowed";
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("the prefix of a user", () => {
  test.each([
    ["users/{sub}/", "u1", "users/u1/"],
    ["{sub}/", "u1", "u1/"],
    ["a/{sub}/private-", "auth0|7", "a/auth0|7/private-"],
    ["users/{sub}/", "ü @x", "users/ü @x/"],
    ["users/{sub}/", "$&", "users/$&/"],
    ["users/{sub}/", "%2F", "users/%2F/"],
    ["users/{sub}/", "a/b", "FORBIDDEN"],
    ["users/{sub}/", "/", "FORBIDDEN"],
    ["users/{sub}/", "..", "FORBIDDEN"],
    ["users/{sub}/", ".", "FORBIDDEN"],
    [undefined, "u1", "FORBIDDEN"],
    ["", "u1", "FORBIDDEN"],
    // Two users could share these.
    ["users/", "u1", "AUTH_NOT_CONFIGURED"],
    ["users/{sub}", "u1", "AUTH_NOT_CONFIGURED"],
    ["{sub}/{sub}/", "u1", "AUTH_NOT_CONFIGURED"],
  ])("%s for %s: %s", (template, userId, expected) => {
    expect(code(() => userPrefix(template, userId))).toBe(expected);
  });
});

describe("a user reaches", () => {
  const call = (userId: string) =>
    ({ principal: { kind: "user", userId }, env: { R2_USER_PREFIX: "users/{sub}/" } }) as unknown as Call;

  test.each([
    ["users/al/photo.jpg", "allowed"],
    ["users/al/", "allowed"],
    ["users/al/a..b/...", "allowed"],
    ["users/al", "FORBIDDEN"],
    ["users/alice/photo.jpg", "FORBIDDEN"],
    ["users/", "FORBIDDEN"],
    ["", "FORBIDDEN"],
    ["/users/al/x", "FORBIDDEN"],
    ["Users/al/x", "FORBIDDEN"],
    ["users%2Fal/x", "FORBIDDEN"],
    ["users/al/../alice/x", "FORBIDDEN"],
    ["users/al/./x", "FORBIDDEN"],
    ["users/al/x/..", "FORBIDDEN"],
    ["users/al/..\\alice", "FORBIDDEN"],
    [".r2-failover/canary", "FORBIDDEN"],
  ])("%j: %s", (name, expected) => {
    expect(code(() => requireReach(call("al"), name))).toBe(expected);
  });
});
