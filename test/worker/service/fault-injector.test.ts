import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { injectFaults } from "../../../src/bucket/fault-injector";
import type { BucketMethod, FaultRule } from "../../../src/shared/protocol";

let rules: FaultRule[];
let calls: BucketMethod[];
const raw = env.R2_BUCKET;
const bucket = injectFaults(raw, () => rules, {
  onCall: (method) => calls.push(method),
  now: Date.now,
  random: () => 0.5,
});

beforeEach(async () => {
  rules = [];
  calls = [];
  await raw.put("key", "0123456789");
  await raw.delete(["new", "late"]);
});

const PART = "x".repeat(5 * 1024 * 1024);

/** Every method of the binding, as a call that succeeds without faults. */
async function callOf(method: BucketMethod): Promise<() => Promise<unknown>> {
  const resume = async () => {
    const upload = await raw.createMultipartUpload("multi");
    return bucket.resumeMultipartUpload(upload.key, upload.uploadId);
  };
  switch (method) {
    case "put":
      return () => bucket.put("new", "value");
    case "get":
      return () => bucket.get("key");
    case "head":
      return () => bucket.head("key");
    case "delete":
      return () => bucket.delete("key");
    case "list":
      return () => bucket.list();
    case "createMultipartUpload":
      return () => bucket.createMultipartUpload("multi");
    case "uploadPart": {
      const upload = await resume();
      return () => upload.uploadPart(1, PART);
    }
    case "complete": {
      const upload = await resume();
      const part = await raw.resumeMultipartUpload(upload.key, upload.uploadId).uploadPart(1, PART);
      return () => upload.complete([part]);
    }
    case "abort": {
      const upload = await resume();
      return () => upload.abort();
    }
  }
}

const METHODS: [BucketMethod, action: string][] = [
  ["put", "put"],
  ["get", "get"],
  ["head", "head"],
  ["delete", "delete"],
  ["list", "list"],
  ["createMultipartUpload", "createMultipartUpload"],
  ["uploadPart", "uploadPart"],
  ["complete", "completeMultipartUpload"],
  ["abort", "abortMultipartUpload"],
];

describe.each(METHODS)("%s", (method, action) => {
  test("passes through without rules, and is counted", async () => {
    const call = await callOf(method);
    await call();
    expect(calls).toEqual([method]);
  });
  test("fails as R2 fails, and is counted", async () => {
    const call = await callOf(method);
    rules = [{ operations: [method], error_code: 10043 }];
    await expect(call()).rejects.toThrow(new RegExp(`^${action}: .+ \\(10043\\)$`));
    expect(calls).toEqual([method]);
  });
  test("loses its reply", async () => {
    const call = await callOf(method);
    rules = [{ operations: [method], lose_reply: true }];
    await expect(call()).rejects.toThrow("Network connection lost.");
  });
});

test("native results pass untouched: same object, same promise", async () => {
  const native = raw.head("key");
  const stub = { head: () => native } as unknown as R2Bucket;
  const injected = injectFaults(stub, () => rules, { onCall: () => undefined, now: Date.now, random: Math.random });
  expect(injected.head("key")).toBe(native);
  await native;
});

test("a lost reply has committed", async () => {
  rules = [{ operations: "write", lose_reply: true }];
  await expect(bucket.put("new", "committed")).rejects.toThrow("Network connection lost.");
  expect(await (await raw.get("new"))?.text()).toBe("committed");
});

test("an error has not committed", async () => {
  rules = [{ operations: "write" }];
  await expect(bucket.put("new", "value")).rejects.toThrow("(10001)");
  expect(await raw.head("new")).toBeNull();
});

test("a hang never answers, and never reaches R2", async () => {
  rules = [{ operations: "all", hang: true }];
  const settled = vi.fn();
  bucket.put("new", "value").then(settled, settled);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(settled).not.toHaveBeenCalled();
  expect(await raw.head("new")).toBeNull();
});

describe("latency", () => {
  test("alone only delays", async () => {
    rules = [{ operations: "all", latency_ms: 40 }];
    const start = Date.now();
    expect(await (await bucket.get("key"))?.text()).toBe("0123456789");
    expect(Date.now() - start).toBeGreaterThanOrEqual(39);
  });
  test("comes before the error", async () => {
    rules = [{ operations: "all", latency_ms: 40, error_code: 10001 }];
    const start = Date.now();
    await expect(bucket.head("key")).rejects.toThrow("(10001)");
    expect(Date.now() - start).toBeGreaterThanOrEqual(39);
  });
});

describe("a call that lands late", () => {
  const body = new TextEncoder().encode("late bytes");
  const bodies: [string, () => Parameters<R2Bucket["put"]>[1]][] = [
    ["a string", () => "late bytes"],
    ["a view that the caller uses again", () => body.slice()],
    ["a buffer", () => body.slice().buffer],
    ["a Blob", () => new Blob([body])],
    ["a stream", () => new Response(body).body],
  ];

  test.each(bodies)("of %s: its caller has given up, and it lands", async (_, value) => {
    rules = [{ operations: ["put"], land_late: true, latency_ms: 40 }];
    const given = value();
    const call = bucket.put("late", given);
    const start = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (ArrayBuffer.isView(given)) new Uint8Array(given.buffer).fill(0);
    expect(await raw.head("late")).toBeNull();
    await call;
    expect(Date.now() - start).toBeGreaterThanOrEqual(39);
    expect(await (await raw.get("late"))?.text()).toBe("late bytes");
  });

  test("whose stream breaks is the caller's error, at once", async () => {
    rules = [{ operations: ["put"], land_late: true, latency_ms: 60_000 }];
    const broken = new ReadableStream({ pull: (controller) => controller.error(new Error("the source broke")) });
    await expect(bucket.put("late", broken)).rejects.toThrow("the source broke");
  });
});

describe("a truncated body", () => {
  beforeEach(() => {
    rules = [{ operations: "read", truncate_body: true }];
  });
  const read = async (object: R2ObjectBody | null) => {
    const chunks: string[] = [];
    const decoder = new TextDecoder();
    const reader = object?.body.getReader();
    const broke = await (async () => {
      for (;;) {
        const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
        if (done) return false;
        chunks.push(decoder.decode(value));
      }
    })().catch(() => true);
    return { text: chunks.join(""), broke };
  };

  test("ends with an error after half of its bytes", async () => {
    expect(await read(await bucket.get("key"))).toEqual({ text: "01234", broke: true });
  });
  test("of a range ends after half of the range", async () => {
    expect(await read(await bucket.get("key", { range: { offset: 2, length: 4 } }))).toEqual({
      text: "23",
      broke: true,
    });
    expect(await read(await bucket.get("key", { range: { suffix: 4 } }))).toEqual({ text: "67", broke: true });
  });
  test("breaks every way of reading it, and nothing else of the object", async () => {
    for (const how of ["text", "json", "arrayBuffer", "bytes", "blob"] as const) {
      const object = await bucket.get("key");
      expect({ key: object?.key, size: object?.size }).toEqual({ key: "key", size: 10 });
      object?.writeHttpMetadata(new Headers());
      await expect(object?.[how]()).rejects.toThrow("Network connection lost.");
    }
  });
  test("leaves what has no body as it is", async () => {
    expect(await bucket.get("absent")).toBeNull();
    expect((await bucket.head("key"))?.size).toBe(10);
    const unmet = await bucket.get("key", { onlyIf: { etagMatches: "0".repeat(32) } });
    expect(unmet !== null && "body" in unmet && unmet.body).toBeFalsy();
  });
});
