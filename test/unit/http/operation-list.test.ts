import { expect, test } from "vitest";
import { decodeCursor, encodeCursor, mergePage } from "../../../src/http/operation-list";
import type { OperationRecord } from "../../../src/shared/records";

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

function operation(id: string, second: number): OperationRecord {
  return {
    operation_id: id,
    operation_type: "UPLOAD",
    service_name: "R2_STORAGE",
    key: id,
    status: "PENDING",
    priority: 5,
    user_id: null,
    file_id: null,
    retry_count: 0,
    max_retries: 3,
    size: 1,
    etag: null,
    error_message: null,
    created_at: at(second),
    scheduled_at: at(second),
    completed_at: null,
  };
}

const ids = (operations: readonly OperationRecord[]) => operations.map(({ operation_id }) => operation_id);

test("the lists of all shards become one, newest first, and by falling id at the same time", () => {
  const page = mergePage([[operation("b", 3), operation("a", 1)], [operation("d", 2), operation("c", 2)], []], 10);
  expect(ids(page.operations)).toEqual(["b", "d", "c", "a"]);
  expect(page.cursor).toBeNull();
});

test("a page that leaves something over ends in a cursor at its last operation", () => {
  const page = mergePage([[operation("b", 3), operation("a", 1)], [operation("c", 2)]], 2);
  expect(ids(page.operations)).toEqual(["b", "c"]);
  expect(decodeCursor(page.cursor ?? "")).toEqual({ createdAt: Date.parse(at(2)), operationId: "c" });
});

test("a page that is exactly full has no cursor", () => {
  expect(mergePage([[operation("b", 3), operation("a", 1)]], 2).cursor).toBeNull();
});

test("a cursor needs no escaping in a query", () => {
  expect(encodeCursor({ createdAt: 1_700_000_000_000, operationId: "7-0badcafe-???>>>" })).toMatch(/^[A-Za-z0-9_-]+$/);
});

test.each(["", "x", "%", btoa("{}"), btoa("[1]"), btoa('["1","a"]'), btoa("null"), btoa('[1.5,"a"]')])(
  "the cursor %j is none of ours and is refused",
  (cursor) => {
    expect(() => decodeCursor(cursor)).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
  },
);
