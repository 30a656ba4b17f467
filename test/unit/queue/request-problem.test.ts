import { describe, expect, it, test } from "vitest";
import { requestProblem } from "../../../durable-objects/queue/request-problem";
import type { EnqueueRequest, PutMetadata } from "../../../src/shared/protocol";

const METADATA: PutMetadata = {
  httpMetadata: {},
  customMetadata: {},
  checksum: null,
  storageClass: null,
  ssecKey: null,
};

const PUT: EnqueueRequest = {
  operationId: "0-00000000-a",
  kind: "put",
  key: "a",
  priority: 5,
  userId: null,
  fileId: null,
  maxRetries: null,
  metadata: METADATA,
  size: null,
  directCall: null,
  ticket: null,
  condition: null,
  readable: true,
};
const DELETE: EnqueueRequest = { ...PUT, kind: "delete", metadata: null };
const BODY = new Uint8Array(3);

describe("a request is taken", () => {
  test.each<{ rule: string; request: EnqueueRequest; body: Uint8Array | null }>([
    { rule: "a put with a body", request: PUT, body: BODY },
    { rule: "a put of nothing", request: PUT, body: new Uint8Array() },
    { rule: "a delete without one", request: DELETE, body: null },
    { rule: "a key of 1,024 bytes", request: { ...PUT, key: "k".repeat(1_024) }, body: BODY },
    { rule: "a key of 256 characters of four bytes", request: { ...PUT, key: "😀".repeat(256) }, body: BODY },
    { rule: "the first priority", request: { ...PUT, priority: 1 }, body: BODY },
    { rule: "the last priority", request: { ...PUT, priority: 10 }, body: BODY },
    { rule: "no retries", request: { ...PUT, maxRetries: 0 }, body: BODY },
    { rule: "a hundred retries", request: { ...PUT, maxRetries: 100 }, body: BODY },
  ])("$rule", ({ request, body }) => {
    expect(requestProblem(request, body)).toBeNull();
  });
});

describe("a request is refused", () => {
  test.each<{ rule: string; request: EnqueueRequest; body: Uint8Array | null; says: string }>([
    { rule: "an empty key", request: { ...PUT, key: "" }, body: BODY, says: "not 0" },
    { rule: "a key of 1,025 bytes", request: { ...PUT, key: "k".repeat(1_025) }, body: BODY, says: "not 1025" },
    { rule: "a key too long in UTF-8 only", request: { ...PUT, key: "😀".repeat(257) }, body: BODY, says: "not 1028" },
    { rule: "an id that names no shard", request: { ...PUT, operationId: "abc" }, body: BODY, says: "no operation id" },
    { rule: "priority 0", request: { ...PUT, priority: 0 }, body: BODY, says: "priority" },
    { rule: "priority 11", request: { ...PUT, priority: 11 }, body: BODY, says: "priority" },
    { rule: "priority 1.5", request: { ...PUT, priority: 1.5 }, body: BODY, says: "priority" },
    { rule: "priority NaN", request: { ...PUT, priority: Number.NaN }, body: BODY, says: "priority" },
    { rule: "max_retries -1", request: { ...PUT, maxRetries: -1 }, body: BODY, says: "max_retries" },
    { rule: "max_retries 101", request: { ...PUT, maxRetries: 101 }, body: BODY, says: "max_retries" },
    { rule: "a put without a body", request: PUT, body: null, says: "body" },
    { rule: "a put without metadata", request: { ...PUT, metadata: null }, body: BODY, says: "metadata" },
    { rule: "a delete with a body", request: DELETE, body: BODY, says: "no body" },
  ])("$rule", ({ request, body, says }) => {
    expect(requestProblem(request, body)).toMatchObject({
      ok: false,
      code: "INVALID_REQUEST",
      message: expect.stringContaining(says),
    });
  });

  it("for its key before anything else, so that the answer does not depend on the rest", () => {
    expect(requestProblem({ ...PUT, key: "", priority: 0 }, null)?.message).toContain("key");
  });
});
