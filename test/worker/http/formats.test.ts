import { afterEach, describe, expect, test, vi } from "vitest";
import { asAdmin, asGateway, send, verdict } from "./client";

const SERVICE = "/health/services/R2_STORAGE";

afterEach(async () => {
  await asAdmin("POST", `${SERVICE}/recover`);
});

describe("/metrics", () => {
  const scrape = async () => (await send("GET", "/metrics")).text();
  const value = (text: string, sample: string) => {
    const line = text.split("\n").find((candidate) => candidate.startsWith(`${sample} `));
    return line === undefined ? null : Number(line.slice(sample.length + 1));
  };

  test("is Prometheus text, and names each family once", async () => {
    const response = await send("GET", "/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name]) => name);
    expect(new Set(types).size).toBe(types.length);
    for (const line of text.split("\n").slice(0, -1)) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) r2_failover_\w+ .+|r2_failover_\w+(\{(\w+="[^"\n]*",?)+\})? [-+.\deInf]+)$/,
      );
    }
  });

  test("shows the state that the service has, and one at a time", async () => {
    await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "drill", circuits: ["write"] } });
    const text = await scrape();
    const ofService = 'service="R2_STORAGE"';
    expect(value(text, `r2_failover_circuit_state{${ofService},class="write",state="FORCED_OPEN"}`)).toBe(1);
    expect(value(text, `r2_failover_circuit_state{${ofService},class="write",state="CLOSED"}`)).toBe(0);
    expect(value(text, `r2_failover_circuit_state{${ofService},class="read",state="CLOSED"}`)).toBe(1);
    expect(value(text, `r2_failover_circuit_admission_ratio{${ofService},class="write"}`)).toBe(0);
    expect(value(text, `r2_failover_service_status{${ofService},status="DEGRADED"}`)).toBe(1);
    expect(value(text, `r2_failover_service_status{${ofService},status="HEALTHY"}`)).toBe(0);
    expect(value(text, `r2_failover_monitor_up{${ofService}}`)).toBe(1);
  });

  test("shows what is queued", async () => {
    await asAdmin("POST", "/health/queue/pause", {});
    await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "drill", circuits: ["write"] } });
    expect((await asGateway("PUT", "/r2/queued", { body: "12345" })).status).toBe(202);
    const ofService = 'service="R2_STORAGE"';
    await expect.poll(async () => value(await scrape(), `r2_failover_queue_bytes{${ofService}}`)).toBe(5);
    const text = await scrape();
    expect(value(text, `r2_failover_queue_operations{${ofService},status="pending"}`)).toBe(1);
    expect(value(text, `r2_failover_queue_oldest_age_seconds{${ofService}}`)).toBeGreaterThan(0);
    expect(value(text, `r2_failover_queue_paused{${ofService}}`)).toBe(1);
    await asAdmin("POST", "/health/queue/resume", {});
    await asAdmin("POST", `${SERVICE}/recover`);
    await expect
      .poll(async () => value(await scrape(), `r2_failover_queue_bytes{${ofService}}`), { timeout: 20_000 })
      .toBe(0);
  });

  test("counts calls, and never fewer than before", async () => {
    const counter = 'r2_failover_calls_total{service="R2_STORAGE",class="write",outcome="success"}';
    // Isolates report when their lease is over.
    await asAdmin("PUT", "/health/config/R2_STORAGE/lease_cap_ms", { json: { value: 100 } });
    const counts: number[] = [];
    const grows = async () => {
      expect((await asGateway("PUT", "/r2/counted", { body: "x" })).status).toBe(200);
      counts.push(value(await scrape(), counter) ?? 0);
      expect(new Set(counts).size).toBeGreaterThan(2);
    };
    await vi.waitFor(grows, { timeout: 25_000, interval: 100 });
    expect(counts).toEqual(counts.toSorted((one, other) => one - other));
    const text = await scrape();
    const calls = ["success", "failure"].reduce(
      (sum, outcome) => sum + (value(text, counter.replace("success", outcome)) ?? 0),
      0,
    );
    const timed = value(text, 'r2_failover_call_duration_seconds_count{service="R2_STORAGE",class="write"}') ?? 0;
    expect(timed).toBeGreaterThan(0);
    expect(timed).toBeLessThanOrEqual(calls);
  });

  test("a monitor that does not answer is shown as down, without figures that nobody knows", async () => {
    const silent = { idFromName: (name: string) => name, get: () => ({ overview: () => Promise.reject(new Error()) }) };
    const text = await (await send("GET", "/metrics", { env: { SERVICE_DO: silent as never } })).text();
    expect(value(text, 'r2_failover_monitor_up{service="R2_STORAGE"}')).toBe(0);
    expect(text).not.toContain("service_status");
  });
});

describe("/health/summary.json", () => {
  test("has what Statuspage's clients read", async () => {
    expect(await (await send("GET", "/health/summary.json")).json()).toMatchObject({
      page: { id: "r2-failover", url: "http://worker.test/", time_zone: "Etc/UTC", updated_at: expect.any(String) },
      status: { indicator: "none", description: expect.any(String) },
      components: [
        { name: "R2_STORAGE reads", status: "operational" },
        { name: "R2_STORAGE writes", status: "operational" },
      ],
      incidents: [],
      scheduled_maintenances: [],
    });
  });

  test("shows an outage while it lasts, and no reason", async () => {
    await asAdmin("POST", `${SERVICE}/degrade`, { json: { reason: "a secret reason" } });
    const text = await (await send("GET", "/health/summary.json")).text();
    expect(text).not.toContain("secret");
    expect(JSON.parse(text)).toMatchObject({
      status: { indicator: "critical" },
      components: [{ status: "major_outage" }, { status: "degraded_performance" }],
      incidents: [{ status: "investigating", impact: "critical", resolved_at: null }],
    });
    await asAdmin("POST", `${SERVICE}/recover`);
    await expect
      .poll(async () => (await (await send("GET", "/health/summary.json")).json<{ incidents: unknown[] }>()).incidents)
      .toEqual([]);
  });
});

describe("badges", () => {
  const badge = (name: string) => send("GET", `/health/badges/${name}`);

  test("are SVG images that caches keep for a minute and any page may show", async () => {
    const response = await badge("R2_STORAGE/status.svg");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "image/svg+xml; charset=utf-8",
      "cache-control": "public, max-age=60",
      "cross-origin-resource-policy": "cross-origin",
      "x-content-type-options": "nosniff",
    });
    expect(await response.text()).toMatch(/^<svg .*R2_STORAGE: healthy.*<\/svg>$/);
  });

  test.each(["24h", "7d", "30d"])("tell the uptime of %s", async (period) => {
    const svg = await (await badge(`R2_STORAGE/uptime-${period}.svg`)).text();
    expect(svg).toMatch(new RegExp(`R2_STORAGE uptime ${period}: (\\d+(\\.\\d+)? %|no data)`));
  });

  test.each([
    ["NOPE/status.svg", "404 UNKNOWN_SERVICE"],
    ["R2_STORAGE/uptime-1y.svg", "404 NOT_FOUND"],
    ["R2_STORAGE/uptime-constructor.svg", "404 NOT_FOUND"],
    ["R2_STORAGE/status", "404 NOT_FOUND"],
    ["R2_STORAGE/status.png", "404 NOT_FOUND"],
    ["R2_STORAGE/%ff", "400 INVALID_REQUEST"],
    ["%ff/status.svg", "400 INVALID_REQUEST"],
    ["%3Cscript%3E/status.svg", "404 UNKNOWN_SERVICE"],
  ])("%s: %s", async (name, expected) => {
    expect(await verdict(await badge(name))).toBe(expected);
  });
});
