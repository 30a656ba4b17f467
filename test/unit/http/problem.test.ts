import { describe, expect, test } from "vitest";
import { problem, problemOf, problemResponse } from "../../../src/http/problem";
import { FailoverError } from "../../../src/shared/errors";

test("a problem is RFC 9457 with our code and the request's id", async () => {
  const response = problemResponse(problem("NOT_FOUND", "No object has this key."), "request-1");
  expect(response.status).toBe(404);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.json()).toEqual({
    type: "about:blank",
    title: "Not Found",
    status: 404,
    code: "NOT_FOUND",
    detail: "No object has this key.",
    request_id: "request-1",
  });
});

describe("what a thrown error says to the outside", () => {
  test.each<[unknown, number, string]>([
    [new FailoverError("QUEUE_FULL", "full"), 503, "QUEUE_FULL"],
    [new FailoverError("OPERATION_ID_REUSED", "reused"), 409, "OPERATION_ID_REUSED"],
    [new Error("put: Your metadata headers exceed the maximum allowed metadata size. (10012)"), 400, "R2_ERROR"],
    [new Error("put: locked (10069)"), 403, "R2_ERROR"],
    [new Error("get: The requested range is not satisfiable (10039)"), 416, "R2_ERROR"],
    [new Error("put: We encountered an internal error. (10001)"), 503, "SERVICE_UNAVAILABLE"],
    [new TypeError("x is not a function"), 500, "INTERNAL"],
    [new Error("SQLITE_CONSTRAINT: secret table"), 500, "INTERNAL"],
    ["a string", 500, "INTERNAL"],
    [undefined, 500, "INTERNAL"],
  ])("%s: %i %s", (error, status, code) => {
    expect(problemOf(error, false)).toMatchObject({ status, code });
  });

  test("R2's caller errors carry R2's code and sentence, without its wrapping", () => {
    const found = problemOf(
      new Error("put: The MD5 checksum you specified did not match.\nActual MD5 was: 00 (10037)"),
      false,
    );
    expect(found).toMatchObject({
      detail: "The MD5 checksum you specified did not match.",
      members: { r2_code: 10037 },
    });
  });

  test("R2's sentence is not shown to the public", () => {
    const found = problemOf(new Error("get: The bucket attic does not exist (10006)"), true);
    expect(found).toMatchObject({ status: 404, code: "R2_ERROR" });
    expect(found.detail).not.toContain("attic");
  });

  test("nothing of an unexpected error is shown", () => {
    expect(problemOf(new Error("SQLITE_CONSTRAINT: secret table"), false).detail).not.toMatch(/sqlite|secret/i);
  });

  test("a write whose outcome is unknown says so", () => {
    const error = new FailoverError("SERVICE_UNAVAILABLE", "no answer", { outcomeUnknown: true });
    expect(problemOf(error, false).members).toEqual({ outcome_unknown: true });
  });
});

describe("every 503 that will pass carries Retry-After in whole seconds", () => {
  test.each<[ConstructorParameters<typeof FailoverError>[0], number | undefined, string | undefined]>([
    ["SERVICE_UNAVAILABLE", 0.2, "1"],
    ["QUEUE_FULL", 2.5, "3"],
    ["READ_ONLY", undefined, "5"],
    ["BODY_NOT_REPLAYABLE", undefined, "5"],
    ["CONDITION_UNVERIFIABLE", undefined, "5"],
    ["AUTH_NOT_CONFIGURED", undefined, undefined],
    ["SSEC_NEEDS_ENCRYPTION", undefined, undefined],
    ["NOT_FOUND", undefined, undefined],
  ])("%s after %s s: %s", (code, retryAfter, expected) => {
    expect(problem(code, "…", { retryAfter }).headers?.["retry-after"]).toBe(expected);
  });
});
