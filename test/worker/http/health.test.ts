import { env } from "cloudflare:workers";
import { afterEach, beforeAll, expect, test } from "vitest";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { serviceStub } from "../../../src/bucket/stubs";
import { DEFAULT_SERVICE } from "../../../src/shared/env";
import { asAdmin, asGateway, send, verdict } from "./client";

const SERVICE = "/health/services/R2_STORAGE";
const mode = (json: unknown) => asAdmin("PUT", `${SERVICE}/mode`, { json });

// What a busy machine takes to load the objects at first is not what is tested.
beforeAll(async () => {
  await serviceStub(env, DEFAULT_SERVICE).faults();
});
afterEach(async () => {
  await asAdmin("POST", `${SERVICE}/recover`);
});

test("a healthy system says so, with every field of the record", async () => {
  const response = await send("GET", "/health/status");
  expect(response.status).toBe(200);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({
    overall_status: "HEALTHY",
    message: expect.any(String),
    degraded: false,
    read_only: false,
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    last_check: expect.toSatisfy((time: unknown) => time === null || !Number.isNaN(Date.parse(String(time)))),
    total_services: 1,
    healthy_services: 1,
    degraded_services: 0,
    offline_services: 0,
    services: [{ service_name: "R2_STORAGE", status: "HEALTHY" }],
    queue: {
      total_size: 0,
      pending: 0,
      processing: 0,
      failed: 0,
      bytes: 0,
      oldest_age_ms: null,
      drained_in_ms: 0,
      full_in_ms: null,
    },
  });
});

test("the status also speaks application/health+json", async () => {
  const response = await send("GET", "/health/status", { headers: { accept: "application/health+json" } });
  expect(response.headers.get("content-type")).toBe("application/health+json");
  expect(await response.json()).toMatchObject({ status: "pass" });
});

test("with both circuits forced open the service is OFFLINE: status 503, ready to queue writes only", async () => {
  expect((await mode({ mode: "forced_open", reason: "drill" })).status).toBe(200);
  const status = await send("GET", "/health/status");
  expect([status.status, status.headers.get("retry-after")]).toEqual([503, expect.stringMatching(/^\d+$/)]);
  expect(await status.json()).toMatchObject({ overall_status: "OFFLINE", offline_services: 1 });
  const ready = await send("GET", "/health/ready");
  expect([ready.status, await ready.json()]).toEqual([200, { read: false, write: true }]);
});

test("ready is 503 when neither reads nor writes would be answered", async () => {
  await mode({ mode: "forced_open", reason: "drill", read_only: true });
  const ready = await send("GET", "/health/ready");
  expect([ready.status, ready.headers.has("retry-after")]).toEqual([503, true]);
  expect(await ready.json()).toEqual({ read: false, write: false });
});

test("a mode acts at once in the isolate that answered", async () => {
  await mode({ mode: "forced_open", circuits: ["write"], reason: "drill" });
  expect(await verdict(await asGateway("PUT", "/r2/forced", { body: "x" }))).toBe("202");
  await asAdmin("POST", `${SERVICE}/recover`);
});

test("read-only refuses writes with READ_ONLY and keeps reads", async () => {
  await env.R2_BUCKET.put("kept", "x");
  await mode({ mode: "auto", read_only: true, reason: "maintenance" });
  const write = await asGateway("PUT", "/r2/refused", { body: "x" });
  expect(write.headers.has("retry-after")).toBe(true);
  expect(await verdict(write)).toBe("503 READ_ONLY");
  expect(await verdict(await asGateway("GET", "/r2/kept"))).toBe("200");
  const status = await (await send("GET", "/health/r2/status")).json();
  expect(status).toMatchObject({ read_only_mode: true, service_status: "DEGRADED" });
});

test("degrade and recover are shorthands, and answer the service's record", async () => {
  const degraded = await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "drill" } });
  expect(await degraded.json()).toMatchObject({
    service_name: "R2_STORAGE",
    status: "OFFLINE",
    circuit_breaker_state: "FORCED_OPEN",
    degradation_reason: expect.stringContaining("drill"),
  });
  const recovered = await asAdmin("POST", `${SERVICE}/recover`);
  const record = await recovered.json<{ circuit_breaker_state: string }>();
  expect(record.circuit_breaker_state).not.toBe("FORCED_OPEN");
});

test("an action by hand is recorded with its actor and request id, which only a token sees", async () => {
  const headers = { "x-request-id": "degrade-by-hand" };
  await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "drill" }, headers });
  const seen = await (await asAdmin("GET", "/health/events")).text();
  expect(seen).toContain("degrade-by-hand");
  const open = await (await send("GET", "/health/events")).json<{ events: { event_data: unknown }[] }>();
  expect(open.events.length).toBeGreaterThan(0);
  expect(open.events.every(({ event_data }) => JSON.stringify(event_data) === "{}")).toBe(true);
});

interface EventsPage {
  events: { seq: number; service_name: string }[];
  next_since: string;
  reset: boolean;
}
const eventsPage = async (query: string) => (await asAdmin("GET", `/health/events${query}`)).json<EventsPage>();

test.each([
  ["a service", "?service=R2_STORAGE&"],
  ["the system feed", "?"],
])(
  "of %s, events after next_since are the new ones only, newest first, page by page without a gap",
  async (_, query) => {
    await mode({ mode: "forced_open", reason: "one" });
    const first = await eventsPage(query);
    const seqs = first.events.map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.toSorted((one, other) => other - one));
    await mode({ mode: "auto", reason: "two" });
    const seen: number[] = [];
    for (let since = first.next_since; ; ) {
      const page = await eventsPage(`${query}limit=2&since=${since}`);
      expect([page.reset, page.events.length <= 2]).toEqual([false, true]);
      seen.push(...page.events.map(({ seq }) => seq).reverse());
      if (page.events.length === 0) {
        expect(page.next_since).toBe(since);
        break;
      }
      since = page.next_since;
    }
    expect(seen.length).toBeGreaterThan(2);
    expect(seen).toEqual(seen.map((__, index) => (seqs[0] ?? 0) + 1 + index));
  },
);

test("a service has a sequence of its own, which is not that of the feed", async () => {
  await mode({ mode: "forced_open", reason: "one" });
  const [own, feed] = [await eventsPage("?service=R2_STORAGE"), await eventsPage("?")];
  expect(own.next_since.split(".")[0]).not.toBe(feed.next_since.split(".")[0]);
  expect((await eventsPage(`?service=R2_STORAGE&since=${feed.next_since}`)).reset).toBe(true);
});

test.each([
  ["of another storage", (_: string, seq: number) => `another-storage.${seq}`],
  ["of the future", (epoch: string, seq: number) => `${epoch}.${seq + 1}`],
  ["of a far future", (epoch: string) => `${epoch}.999999999999999`],
])("a place %s begins anew, and says so", async (_, place) => {
  await mode({ mode: "forced_open", reason: "one" });
  const page = await eventsPage("?service=R2_STORAGE");
  const [epoch = "", seq] = page.next_since.split(".");
  const again = await eventsPage(`?service=R2_STORAGE&since=${place(epoch, Number(seq))}`);
  expect(again).toEqual({ ...page, reset: true });
});

test("services are listed, and one is shown with its queue and its calls to the bucket", async () => {
  const list = await (await send("GET", "/health/services")).json<{ services: { service_name: string }[] }>();
  expect(list).toMatchObject({ unreachable: [], services: [{ service_name: "R2_STORAGE", degradation_reason: null }] });
  const one = await (await send("GET", SERVICE)).json();
  expect(one).toMatchObject({
    service_name: "R2_STORAGE",
    circuits: { read: { state: "CLOSED" }, write: { state: "CLOSED" } },
    paused: false,
    bucket_calls: { probes: { read: expect.any(Number), write: expect.any(Number) } },
  });
});

test("one service is shown with its past: percentiles, minutes, and what was available", async () => {
  await asGateway("GET", "/r2/counted");
  const service = serviceStub(env, "R2_STORAGE");
  await refreshNow(env, "R2_STORAGE");
  const { read } = await service.totals();
  expect(read.success).toBeGreaterThan(0);
  const ms = expect.any(Number);
  const counts = { success: ms, failure: ms, throttled: ms, ignored: ms, rejected: ms };
  const record = await (await send("GET", SERVICE)).json();
  expect(record).toMatchObject({
    percentiles: { read: { p50: ms, p95: ms, p99: ms }, write: expect.anything() },
    rollups: expect.arrayContaining([
      { started_at: expect.any(String), read: expect.objectContaining(counts), write: expect.objectContaining(counts) },
    ]),
    metrics_gap_ms: 0,
  });
  expect(record).toHaveProperty("availability.1h", { time_based: ms, request_based: ms });
  for (const period of ["24h", "7d", "30d", "90d"])
    expect(record).toHaveProperty(`availability.${period}.time_based`, ms);
});

test("availability is told for a period, 24 hours unless said", async () => {
  const path = `${SERVICE}/availability`;
  expect(await (await send("GET", path)).json()).toMatchObject({ service_name: "R2_STORAGE", hours: 24, trend: null });
  expect(await (await send("GET", `${path}?hours=2160`)).json()).toMatchObject({ hours: 2160 });
  for (const hours of ["0", "2161", "1.5", "x"]) {
    expect(await verdict(await send("GET", `${path}?hours=${hours}`))).toBe("400 INVALID_REQUEST");
  }
  expect(await verdict(await send("GET", "/health/services/NONE/availability"))).toBe("404 UNKNOWN_SERVICE");
});

test("incidents are listed newest first, and only a token sees their reason", async () => {
  await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "a secret reason" } });
  const seen = await (await asAdmin("GET", "/health/incidents?limit=1")).json();
  expect(seen).toMatchObject({ incidents: [{ service_name: "R2_STORAGE", operations_lost: 0 }] });
  expect(await (await asAdmin("GET", "/health/incidents?service=R2_STORAGE")).text()).toContain("reason");
  const open = await (await send("GET", "/health/incidents")).text();
  expect(open).toContain('"reason":null');
  expect(open).not.toContain("secret");
});

test("a check probes now and answers the metrics by service", async () => {
  const all = await (await asAdmin("POST", "/health/check")).json<{
    services: Record<string, { last_health_check: string }>;
  }>();
  expect(Date.parse(all.services.R2_STORAGE?.last_health_check ?? "")).toBeGreaterThan(Date.now() - 60_000);
  const one = await asAdmin("POST", "/health/check", { json: { service: "R2_STORAGE" } });
  expect(await one.json()).toMatchObject({ services: { R2_STORAGE: { consecutive_failures: 0 } } });
});

test("a test of R2 writes, reads and deletes, and says how long each took", async () => {
  expect(await (await asAdmin("POST", "/health/r2/test")).json()).toMatchObject({
    success: true,
    write: { ok: true, ms: expect.any(Number) },
    read: { ok: true, ms: expect.any(Number) },
    delete: { ok: true, ms: expect.any(Number) },
    total_ms: expect.any(Number),
  });
  const left = await env.R2_BUCKET.list({ prefix: ".r2-failover/" });
  expect(left.objects).toEqual([]);
});

test("faults are set, shown, act at once, and are taken away", async () => {
  const faults = [{ operations: ["get"], error_rate: 1, error_code: 10001 }];
  const put = await asAdmin("PUT", `${SERVICE}/faults`, { json: { faults } });
  expect(await put.json()).toEqual({ faults });
  expect(await (await asAdmin("GET", `${SERVICE}/faults`)).json()).toEqual({ faults });
  await env.R2_BUCKET.put("faulty", "x");
  const read = await asGateway("GET", "/r2/faulty");
  expect(read.headers.has("retry-after")).toBe(true);
  expect(await verdict(read)).toBe("503 SERVICE_UNAVAILABLE");
  expect(await (await asAdmin("DELETE", `${SERVICE}/faults`)).json()).toEqual({ faults: [] });
  expect(await verdict(await asGateway("GET", "/r2/faulty"))).toBe("200");
});

test("config is listed with its bounds, and changed for good", async () => {
  const put = await asAdmin("PUT", "/health/config/R2_STORAGE/max_retries", { json: { value: 7 } });
  expect(await put.json()).toMatchObject({ config_key: "max_retries", config_value: 7, updated_by: "admin" });
  const { config } = await (await asAdmin("GET", "/health/config")).json<{ config: Record<string, unknown>[] }>();
  expect(config).toContainEqual(
    expect.objectContaining({
      service_name: "R2_STORAGE",
      config_key: "max_retries",
      config_value: 7,
      config_type: "integer",
      default: 3,
      minimum: 0,
      maximum: 100,
    }),
  );
});

test("a value out of its range is answered with the range", async () => {
  const response = await asAdmin("PUT", "/health/config/OPERATION_QUEUE/batch_size", { json: { value: 0 } });
  expect(await response.json()).toMatchObject({ code: "INVALID_CONFIG", detail: expect.stringContaining("1 to 1000") });
});

test("live asks nobody", async () => {
  const response = await send("GET", "/health/live", { env: { SERVICE_DO: undefined, SYSTEM_DO: undefined } as never });
  expect([response.status, await response.json()]).toEqual([200, { live: true }]);
});
