import { expect, test } from "vitest";
import { checkWriteOptions } from "../../../src/bucket/write-options";

test("the defaults: the middle priority, nobody's, and an id of its own that stays the same", () => {
  const { clientPart, ...rest } = checkWriteOptions({});
  expect(rest).toEqual({ priority: 5, userId: null, fileId: null, maxRetries: null });
  expect(clientPart()).toMatch(/^[0-9a-f-]{36}$/);
  expect(clientPart()).toBe(clientPart());
  expect(clientPart()).not.toBe(checkWriteOptions({}).clientPart());
});

test("user and file ids are kept as strings", () => {
  expect(checkWriteOptions({ userId: 7, fileId: "f", operationId: "op" })).toMatchObject({ userId: "7", fileId: "f" });
  expect(checkWriteOptions({ operationId: "op" }).clientPart()).toBe("op");
});

test.each([
  { priority: 0 },
  { priority: 11 },
  { priority: 2.5 },
  { priority: "x" as unknown as number },
  { maxRetries: -1 },
  { maxRetries: 101 },
  { size: -1 },
  { size: Number.NaN },
  { operationId: "" },
  { operationId: "a/b" },
  { operationId: "x".repeat(129) },
])("%o is INVALID_REQUEST", (options) => {
  expect(() => checkWriteOptions(options)).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
});
