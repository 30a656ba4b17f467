/** Services that are only probed: each is broken by itself, and only its own status changes. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { serviceStub } from "../../src/bucket/stubs";
import type { ServiceRecord } from "../../src/shared/records";
import type { SystemRpc } from "../../src/shared/rpc";
import { asAdmin, send } from "../worker/http/client";

interface Handler {
  setHandler(isWell: boolean): Promise<void>;
  setSite(isWell: boolean): Promise<void>;
}

const NAMES = ["R2_STORAGE", "D1_DATABASE", "AUTH_KV", "PAYMENTS", "HANDLER"];
const handler = () => Reflect.get(env, "HANDLER") as Handler;
const d1 = () => env.D1_DATABASE as D1Database;
const kv = () => env.AUTH_KV as KVNamespace;

const createTable = () => d1().exec("CREATE TABLE canary (n INTEGER)");
const BREAK: Readonly<Record<string, { down: () => Promise<unknown>; up: () => Promise<unknown> }>> = {
  R2_STORAGE: {
    down: () => serviceStub(env, "R2_STORAGE").setFaults([{ operations: "all" }], { actor: "test", requestId: "r" }),
    up: () => serviceStub(env, "R2_STORAGE").setFaults([], { actor: "test", requestId: "r" }),
  },
  D1_DATABASE: { down: () => d1().exec("DROP TABLE canary"), up: createTable },
  AUTH_KV: { down: () => kv().delete("canary"), up: () => kv().put("canary", "well") },
  PAYMENTS: { down: () => handler().setSite(false), up: () => handler().setSite(true) },
  HANDLER: { down: () => handler().setHandler(false), up: () => handler().setHandler(true) },
};

async function records(): Promise<Record<string, ServiceRecord>> {
  const { services } = await (await send("GET", "/health/services")).json<{ services: ServiceRecord[] }>();
  return Object.fromEntries(services.map((record) => [record.service_name, record]));
}

/** Status of every service, once the named one has the one that is wanted. */
async function statuses(name: string, wanted: string): Promise<Record<string, string>> {
  await expect.poll(async () => (await records())[name]?.status, { timeout: 20_000 }).toBe(wanted);
  return Object.fromEntries(Object.entries(await records()).map(([service, { status }]) => [service, status]));
}

const all = (change: Record<string, string> = {}) => ({
  ...Object.fromEntries(NAMES.map((name) => [name, "HEALTHY"])),
  ...change,
});

beforeAll(async () => {
  await createTable();
  await kv().put("canary", "well");
  const system = env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system")) as unknown as SystemRpc;
  for (const name of NAMES) {
    await system.register(name);
    await system.setConfig(name, "circuit_breaker_timeout", 500, { actor: "test", requestId: "r" });
  }
});

test("every service that is bound is monitored, without any call to it", async () => {
  const { services } = await (await asAdmin("POST", "/health/check")).json<{
    services: Record<string, { last_health_check: string; error_rate: number }>;
  }>();
  expect(Object.keys(services).sort()).toEqual(NAMES.toSorted());
  for (const name of NAMES)
    expect(services[name]).toMatchObject({ error_rate: 0, last_health_check: expect.any(String) });
  expect(await statuses("R2_STORAGE", "HEALTHY")).toEqual(all());
});

describe.each(NAMES)("%s, broken", (name) => {
  test("is offline, and no other service changes; mended, it comes back by itself", async () => {
    await BREAK[name]?.down();
    await asAdmin("POST", "/health/check", { json: { service: name } });
    expect(await statuses(name, "OFFLINE")).toEqual(all({ [name]: "OFFLINE" }));
    const summary = await (await send("GET", "/health/status")).json();
    // Offline as a whole only when the default service is.
    expect(summary).toMatchObject({
      overall_status: name === "R2_STORAGE" ? "OFFLINE" : "DEGRADED",
      offline_services: 1,
    });
    await BREAK[name]?.up();
    expect(await statuses(name, "HEALTHY")).toEqual(all());
  });
});

test("R2 alone has a bucket to test", async () => {
  expect((await asAdmin("POST", "/health/r2/test?service=AUTH_KV")).status).toBe(400);
  expect((await asAdmin("POST", "/health/r2/test")).status).toBe(200);
});

describe("monitoring", () => {
  const monitored = async (name: string) =>
    (await (await send("GET", `/health/services/${name}`)).json<{ monitored: boolean }>()).monitored;
  const types = async () =>
    (await serviceStub(env, "PAYMENTS").events(0, 1_000)).events
      .map(({ event_type }) => event_type)
      .filter((type) => type.startsWith("MONITORING"));

  test("is stopped and started for one service, as often as one likes, and each change is an event", async () => {
    for (const on of [false, false, true, true]) {
      const path = `/health/monitor/${on ? "start" : "stop"}`;
      expect(await (await asAdmin("POST", path, { json: { service: "PAYMENTS" } })).json()).toEqual({
        services: { PAYMENTS: on },
      });
      expect(await monitored("PAYMENTS")).toBe(on);
      expect(await monitored("HANDLER")).toBe(true);
    }
    expect(await types()).toEqual(["MONITORING_STOPPED", "MONITORING_STARTED"]);
  });

  test("that is stopped probes only when it is asked to", async () => {
    await asAdmin("POST", "/health/monitor/stop");
    for (const name of NAMES) expect(await monitored(name)).toBe(false);
    const last = async () => (await records()).PAYMENTS?.health_metrics.last_health_check;
    const before = await last();
    await asAdmin("POST", "/health/check", { json: { service: "PAYMENTS" } });
    const asked = await last();
    expect(asked).not.toBe(before);
    await serviceStub(env, "PAYMENTS").poke();
    expect(await last()).toBe(asked);
    await asAdmin("POST", "/health/monitor/start");
    for (const name of NAMES) expect(await monitored(name)).toBe(true);
  });
});
