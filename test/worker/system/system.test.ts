import { abortAllDurableObjects, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { serviceStub } from "../../../src/bucket/stubs";
import { DEFAULT_CONFIG, NOTIFICATION_CONFIG, QUEUE_CONFIG, SERVICE_CONFIG } from "../../../src/shared/config";
import type { SystemRpc } from "../../../src/shared/rpc";

const BY = { actor: "tester", requestId: "req-1" };
const rawSystem = () => env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));
const system = () => rawSystem() as unknown as SystemRpc;

afterEach(() => reset());

describe("the registry", () => {
  test("knows a service from its first use on", async () => {
    expect(await system().services()).toEqual([]);
    await serviceStub(env, "R2_STORAGE").overview();
    await serviceStub(env, "D1_DATABASE").overview();
    await serviceStub(env, "R2_STORAGE").overview();
    expect(await system().services()).toEqual(["D1_DATABASE", "R2_STORAGE"]);
    await abortAllDurableObjects();
    expect(await system().services()).toEqual(["D1_DATABASE", "R2_STORAGE"]);
  });
});

describe("the config", () => {
  test("is the defaults, of every key of every section, while nothing is set", async () => {
    const records = await system().config();
    expect(records).toHaveLength(
      Object.keys(SERVICE_CONFIG).length + Object.keys(QUEUE_CONFIG).length + Object.keys(NOTIFICATION_CONFIG).length,
    );
    expect(records.find(({ config_key }) => config_key === "circuit_breaker_threshold")).toEqual({
      service_name: "R2_STORAGE",
      config_key: "circuit_breaker_threshold",
      config_value: 5,
      config_type: "integer",
      default: 5,
      minimum: 1,
      maximum: 1_000,
      description: "consecutive failures that open a circuit",
      updated_at: null,
      updated_by: null,
    });
    expect(await system().register("R2_STORAGE")).toEqual(DEFAULT_CONFIG);
  });

  test("once set, is told with who set it and when, and outlives the object", async () => {
    const answer = await system().setConfig("R2_STORAGE", "max_retries", 9, BY);
    const expected = { config_key: "max_retries", config_value: 9, default: 3, updated_by: "tester" };
    expect(answer).toMatchObject({ ok: true, record: expected });
    await abortAllDurableObjects();
    const record = (await system().config()).find(({ config_key }) => config_key === "max_retries");
    expect(record).toMatchObject(expected);
    expect(Date.parse(record?.updated_at ?? "")).toBeGreaterThan(Date.now() - 60_000);
  });

  test("of a service is its own; the queue's and the bounds are all services'", async () => {
    await system().register("R2_STORAGE");
    await system().register("OTHER");
    await system().setConfig("R2_STORAGE", "max_retries", 9, BY);
    await system().setConfig("OPERATION_QUEUE", "batch_size", 50, BY);
    const [own, other] = [await system().register("R2_STORAGE"), await system().register("OTHER")];
    expect([own.service.max_retries, other.service.max_retries]).toEqual([9, 3]);
    expect([own.queue.batch_size, other.queue.batch_size]).toEqual([50, 50]);
  });

  test("says that a new number of shards is for services that come later", async () => {
    const answer = await system().setConfig("OPERATION_QUEUE", "shards", 16, BY);
    expect(answer).toMatchObject({ ok: true, record: { description: expect.stringMatching(/first used later/) } });
  });

  test.each<[string, string, unknown, string, RegExp]>([
    [
      "R2_STORAGE",
      "max_retry",
      3,
      "UNKNOWN_CONFIG",
      /R2_STORAGE has no key "max_retry"\. Its keys are max_retries, retry_/,
    ],
    ["R2_STORAGE", "batch_size", 3, "UNKNOWN_CONFIG", /has no key "batch_size"/],
    ["OPERATION_QUEUE", "max_retries", 3, "UNKNOWN_CONFIG", /Its keys are max_queue_size/],
    ["R2_STORAGE", "toString", 3, "UNKNOWN_CONFIG", /has no key "toString"/],
    ["R2_STORAGE", "max_retries", 101, "INVALID_CONFIG", /max_retries must be a whole number from 0 to 100/],
    ["R2_STORAGE", "max_retries", -1, "INVALID_CONFIG", /from 0 to 100/],
    ["R2_STORAGE", "max_retries", 1.5, "INVALID_CONFIG", /whole number/],
    ["R2_STORAGE", "max_retries", "3", "INVALID_CONFIG", /whole number/],
    ["R2_STORAGE", "max_retries", null, "INVALID_CONFIG", /whole number/],
    ["OPERATION_QUEUE", "shards", 65, "INVALID_CONFIG", /from 1 to 64/],
    ["NOTIFICATIONS", "max_notifications_per_user", 0, "INVALID_CONFIG", /from 1 to 10000/],
  ])("%s %s = %j is refused with %s, and nothing is stored", async (section, key, value, code, message) => {
    const before = await system().config();
    expect(await system().setConfig(section, key, value, BY)).toMatchObject({
      ok: false,
      code,
      message: expect.stringMatching(message),
    });
    expect(await system().config()).toEqual(before);
  });

  test("reaches every service when it is the queue's", async () => {
    const names = ["R2_STORAGE", "D1_DATABASE"];
    for (const name of names) await serviceStub(env, name).overview();
    await system().setConfig("OPERATION_QUEUE", "batch_size", 77, BY);
    for (const name of names) {
      const { events } = await serviceStub(env, name).events(0, 100);
      expect(events.at(-1)?.event_data).toMatchObject({ changed: { batch_size: { from: 10, to: 77 } } });
    }
  });

  test("is set also when a service does not answer; the others are told", async () => {
    await serviceStub(env, "R2_STORAGE").overview();
    await system().register("A_SILENT_ONE");
    await runInDurableObject(rawSystem(), async (object) => {
      const get = (id: DurableObjectId) =>
        id.name === "A_SILENT_ONE"
          ? { configChanged: () => Promise.reject(new Error("down")) }
          : env.SERVICE_DO.get(id);
      const SERVICE_DO = { idFromName: (name: string) => env.SERVICE_DO.idFromName(name), get };
      Object.assign(object, { env: { ...env, SERVICE_DO } });
      expect(await object.setConfig("OPERATION_QUEUE", "batch_size", 78, BY)).toMatchObject({ ok: true });
    });
    const { events } = await serviceStub(env, "R2_STORAGE").events(0, 100);
    expect(events.at(-1)?.event_data).toMatchObject({ changed: { batch_size: { to: 78 } } });
  });
});
