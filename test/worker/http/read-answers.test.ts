/** What the gateway answers to a read, by where the object comes from, and when it comes from nowhere. */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { asAdmin, asGateway, type Sent, verdict } from "./client";

const SERVICE = "/health/services/R2_STORAGE";
const BODY = "0123456789";
const ETAG = '"781e5e245d69b566979b86e28d23f2c7"';
const PAST = "Thu, 01 Jan 2015 00:00:00 GMT";
const FUTURE = "Thu, 01 Jan 2099 00:00:00 GMT";

const forceOpen = (...circuits: string[]) =>
  asAdmin("PUT", `${SERVICE}/mode`, { json: { mode: "forced_open", reason: "test", circuits } });
const recover = () => asAdmin("POST", `${SERVICE}/recover`, { json: { reason: "test" } });

interface Answer {
  status: number;
  text: string;
  headers?: Record<string, string | null>;
}

const WHOLE = { status: 200, text: BODY, headers: { "content-range": null } };
const UNCHANGED = { status: 304, text: "", headers: { "content-length": null, "content-type": null } };
const FAILED = { status: 412, text: "PRECONDITION_FAILED", headers: { "retry-after": null } };
const HEADERS_ALONE = { status: 200, text: "", headers: { "content-length": "10" } };

const answers: readonly { method: "GET" | "HEAD"; asked: Record<string, string>; answer: Answer }[] = [
  { method: "GET", asked: {}, answer: WHOLE },
  ...(
    [
      ["bytes=2-4", "234", "bytes 2-4/10"],
      ["bytes=8-", "89", "bytes 8-9/10"],
      ["bytes=-3", "789", "bytes 7-9/10"],
      ["bytes=9-99", "9", "bytes 9-9/10"],
      ["bytes=-99", BODY, "bytes 0-9/10"],
    ] as const
  ).map(([range, text, told]) => ({
    method: "GET" as const,
    asked: { range },
    answer: { status: 206, text, headers: { "content-range": told } },
  })),
  { method: "GET", asked: { range: "bytes=1-2,4-5" }, answer: WHOLE },
  {
    method: "GET",
    asked: { range: "bytes=10-" },
    answer: { status: 416, text: "RANGE_NOT_SATISFIABLE", headers: { "content-range": "bytes */10" } },
  },
  { method: "GET", asked: { range: "bytes=2-4", "if-range": '"other"' }, answer: WHOLE },
  { method: "GET", asked: { "if-match": ETAG }, answer: WHOLE },
  { method: "GET", asked: { "if-match": '"other"' }, answer: FAILED },
  { method: "GET", asked: { "if-none-match": ETAG }, answer: UNCHANGED },
  { method: "GET", asked: { "if-none-match": `W/${ETAG}` }, answer: UNCHANGED },
  { method: "GET", asked: { "if-none-match": "*" }, answer: UNCHANGED },
  { method: "GET", asked: { "if-modified-since": FUTURE }, answer: UNCHANGED },
  { method: "GET", asked: { "if-modified-since": PAST }, answer: WHOLE },
  { method: "GET", asked: { "if-unmodified-since": PAST }, answer: FAILED },
  { method: "GET", asked: { "if-unmodified-since": FUTURE }, answer: WHOLE },
  { method: "HEAD", asked: {}, answer: HEADERS_ALONE },
  { method: "HEAD", asked: { range: "bytes=2-4" }, answer: HEADERS_ALONE },
  { method: "HEAD", asked: { "if-none-match": ETAG }, answer: UNCHANGED },
  { method: "HEAD", asked: { "if-match": '"other"' }, answer: { ...FAILED, text: "" } },
];

describe.each([
  { source: "primary", circuits: [] },
  { source: "queue", circuits: ["write"] },
  { source: "queue", circuits: ["read", "write"] },
])("an object from $source, circuits open: $circuits", ({ source, circuits }) => {
  const path = `/r2/answers/${circuits.join("-")}.txt`;

  beforeAll(async () => {
    if (circuits.length > 0) await forceOpen(...circuits);
    const headers = { "content-type": "text/plain", "x-amz-meta-a": "1" };
    const put = await asGateway("PUT", path, { body: BODY, headers });
    expect(put.status).toBe(circuits.length > 0 ? 202 : 200);
  });
  afterAll(recover);

  test.each(answers)("$method $asked: $answer.status", async ({ method, asked, answer }) => {
    const response = await asGateway(method, path, { headers: asked });
    const isProblem = response.status >= 400;
    const text = await response.text();
    expect({ status: response.status, text: isProblem && text !== "" ? JSON.parse(text).code : text }).toEqual({
      status: answer.status,
      text: answer.text,
    });
    for (const [name, value] of Object.entries(answer.headers ?? {}))
      expect([name, response.headers.get(name)]).toEqual([name, value]);
    if (isProblem) return;
    expect(Object.fromEntries(response.headers)).toMatchObject({ etag: ETAG, "x-failover-source": source });
    for (const name of ["age", "warning"]) expect(response.headers.has(name), name).toBe(false);
    if (response.status === 304) return;
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "accept-ranges": "bytes",
      "content-type": "text/plain",
      "x-amz-meta-a": "1",
      "last-modified": expect.stringMatching(/ GMT$/),
    });
  });
});

describe("while the read circuit is open and nothing is known of a key", () => {
  const calls: PropertyKey[] = [];
  const counting = new Proxy(env.R2_BUCKET, {
    get: (bucket, name) => {
      calls.push(name);
      const member: unknown = Reflect.get(bucket, name);
      return typeof member === "function" ? member.bind(bucket) : member;
    },
  });
  const ask = (method: string, path: string, sent: Sent = {}) =>
    asGateway(method, path, { ...sent, env: { R2_BUCKET: counting } });

  beforeAll(async () => {
    await asGateway("PUT", "/r2/unknown", { body: "known to R2 alone" });
    await asGateway("GET", "/r2/unknown").then((response) => response.text());
    await forceOpen("read");
  });
  afterAll(recover);

  test.each<[method: string, path: string, headers: Record<string, string>]>([
    ["GET", "/r2/unknown", {}],
    ["GET", "/r2/unknown", { range: "bytes=0-1" }],
    ["GET", "/r2/unknown", { "if-none-match": '"a"' }],
    ["HEAD", "/r2/unknown", {}],
    ["GET", "/r2/", {}],
  ])("%s %s %j is 503 with Retry-After within 50 ms, and R2 is not called", async (method, path, headers) => {
    calls.length = 0;
    let fastest = Number.POSITIVE_INFINITY;
    // The machine may be busy with others: of many answers the fastest is ours.
    for (let tries = 0; tries < 20; tries += 1) {
      const begunAt = performance.now();
      const response = await ask(method, path, { headers });
      fastest = Math.min(fastest, performance.now() - begunAt);
      expect(response.status).toBe(503);
      if (method !== "HEAD") expect(await verdict(response)).toBe("503 SERVICE_UNAVAILABLE");
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    expect(fastest).toBeLessThan(50);
    expect(calls).toEqual([]);
  });

  test("the counter counts: with the circuit closed R2 is called", async () => {
    await recover();
    calls.length = 0;
    expect(await (await ask("GET", "/r2/unknown")).text()).toBe("known to R2 alone");
    expect(calls).toContain("get");
  });
});
