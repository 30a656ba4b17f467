import { abortAllDurableObjects, evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { serviceStub } from "../../../src/bucket/stubs";
import { recordedEvent } from "../../../src/shared/records";
import { verdict } from "../http/client";
import { BY, busy, openWrites, rawService, report, service, system, until } from "../service/world";
import { connect, dial, type Socket, WITH_TOKEN } from "./socket";

afterEach(() => reset());

const rawSystem = () => env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));
const pause = () => service().setPaused(true, BY);
const resume = () => service().setPaused(false, BY);
const numbers = (socket: Socket) => socket.events.map(({ seq }) => seq);
const from = (first: number, count: number) => Array.from({ length: count }, (_, index) => first + index);
const ALL = { path: "/health/ws" };

async function inStorm(count: number): Promise<void> {
  const events = from(1, count).map((seq) => ({ ...recordedEvent("OPERATION_COMPLETED", "INFO", { seq }, 0), seq }));
  for (let n = 0; n < count; n += 1_000) {
    await service().takeEvents({ source: "shard:0", epoch: "storm", after: 0, events: events.slice(n, n + 1_000) });
  }
}

describe("a subscriber of one service", () => {
  test("gets a snapshot first, then each event, in order and at once", async () => {
    await pause();
    const { head, storageId } = await service().events(null, 1);
    const socket = await connect();
    await socket.until(({ frames }) => frames.length > 0);
    expect(socket.frames[0]).toMatchObject({
      type: "snapshot",
      epoch: storageId,
      seq: head,
      services: [{ service_name: "R2_STORAGE", status: "HEALTHY" }],
      queue: { total_size: 0 },
    });
    await resume();
    await pause();
    await socket.until(({ events }) => events.length === 2);
    expect(socket.events).toMatchObject([
      { epoch: storageId, seq: head + 1, event: { event_type: "QUEUE_RESUMED", service_name: "R2_STORAGE" } },
      { epoch: storageId, seq: head + 2, event: { event_type: "QUEUE_PAUSED", seq: head + 2 } },
    ]);
  });

  test("is told of changes that are no events: circuits, admission, the queue's depth", async () => {
    const socket = await connect();
    await service().notice(busy(2, 1));
    await socket.until((seen) => seen.ofType("state").some(({ queue }) => queue.total_size === 1));
    await openWrites();
    const isOpen = (seen: Socket) =>
      seen.ofType("state").some(({ services }) => services[0]?.circuits.write.admit === 0);
    await socket.until(isOpen);
  });

  test("gets at most a few state frames a second, and the last state in the end", async () => {
    const socket = await connect();
    const began = Date.now();
    for (let n = 1; n <= 60; n += 1) {
      await service().notice(busy(2, 1, { usage: { ...busy(2, 1).usage, pending: n } }));
    }
    const isLast = (seen: Socket) => seen.ofType("state").at(-1)?.queue.pending === 60;
    await socket.until(isLast);
    const seconds = (Date.now() - began) / 1_000;
    expect(socket.ofType("state").length).toBeLessThanOrEqual(Math.ceil(seconds * 2) + 1);
  });

  test("hears heartbeats", async () => {
    const socket = await connect();
    await runInDurableObject(rawService(), async (_, { storage }) => {
      const at = await storage.getAlarm();
      expect(at).toBeLessThanOrEqual(Date.now() + 30_000);
    });
    // Made anew, the object does not know when the last one was.
    await evictDurableObject(rawService());
    await service().overview();
    await socket.until((seen) => seen.ofType("heartbeat").length > 0);
  });

  test("gets pong for ping, while the object sleeps", async () => {
    const socket = await connect();
    await evictDurableObject(rawService());
    socket.send("ping");
    await socket.until(({ texts }) => texts.includes("pong"));
  });
});

describe("a subscriber of all services", () => {
  test("gets the state of each, and the events of each as they enter the feed", async () => {
    await serviceStub(env, "D1_DATABASE").overview();
    const socket = await connect(ALL);
    await socket.until(({ frames }) => frames.length > 0);
    const [first] = socket.frames;
    expect(first).toMatchObject({
      type: "snapshot",
      services: [{ service_name: "D1_DATABASE" }, { service_name: "R2_STORAGE" }],
    });
    await pause();
    await serviceStub(env, "D1_DATABASE").setPaused(true, BY);
    await socket.until(({ events }) => events.length >= 2);
    expect(socket.events.map(({ event }) => event.service_name).toSorted()).toEqual(["D1_DATABASE", "R2_STORAGE"]);
    const seq = first?.type === "snapshot" ? first.seq : -1;
    expect(numbers(socket)).toEqual(from(seq + 1, socket.events.length));
  });

  test("is told of states that change without an event, of the queues together", async () => {
    const socket = await connect(ALL);
    await service().notice(busy(2, 1));
    await service().notice(busy(2, 1, { usage: { ...busy(2, 1).usage, pending: 5 } }));
    await socket.until((seen) => seen.ofType("state").some(({ queue }) => queue.total_size === 5));
    await socket.until(({ events }) => events.some(({ event }) => event.event_type === "SHARD_BUSY"));
  });

  test("is told who set what in the config", async () => {
    const socket = await connect({ ...ALL, headers: WITH_TOKEN });
    await system().setConfig("NOTIFICATIONS", "max_notifications_per_user", 5, BY);
    await socket.until(({ events }) => events.some(({ event }) => event.event_type === "CONFIG_SET"));
  });

  test("gets a snapshot of the others when one service hangs", async () => {
    await serviceStub(env, "D1_DATABASE").overview();
    await runInDurableObject(rawSystem(), (object) => {
      const get = (id: DurableObjectId) =>
        id.name === "D1_DATABASE" ? { watch: () => new Promise(() => {}) } : env.SERVICE_DO.get(id);
      const SERVICE_DO = { idFromName: (name: string) => env.SERVICE_DO.idFromName(name), get };
      Object.assign(object, { env: { ...env, SERVICE_DO } });
    });
    const socket = await connect(ALL);
    await socket.until(({ frames }) => frames.length > 0);
    expect(socket.frames[0]).toMatchObject({ type: "snapshot", services: expect.any(Array) });
  });
});

describe("since", () => {
  test("goes on without a gap and without a duplicate", async () => {
    for (let n = 0; n < 3; n += 1) {
      await pause();
      await resume();
    }
    const { storageId } = await service().events(null, 1);
    const socket = await connect({ path: `/health/ws?service=R2_STORAGE&since=${storageId}.2` });
    await pause();
    const { head } = await service().events(null, 1);
    await socket.until(({ events }) => events.at(-1)?.seq === head);
    expect(socket.frames[0]).toMatchObject({ type: "snapshot", epoch: storageId, seq: 2 });
    expect(numbers(socket)).toEqual(from(3, head - 2));
  });

  test("far back is sent what was missed in turns, while others get what is new at once", async () => {
    await inStorm(3_000);
    const { storageId } = await service().events(null, 1);
    const late = await connect({ path: `/health/ws?service=R2_STORAGE&since=${storageId}.0` });
    const live = await connect();
    await pause();
    const { head } = await service().events(null, 1);
    await live.until(({ events }) => events.at(-1)?.seq === head);
    await late.until(({ events }) => events.at(-1)?.seq === head, 20_000);
    expect(numbers(late)).toEqual(from(1, head));
    expect(numbers(live)).toEqual(from(head, 1));
  });

  test.each<[string, (epoch: string, head: number) => string]>([
    ["of another epoch", () => "another.1"],
    ["of the future", (epoch, head) => `${epoch}.${head + 1}`],
    ["that retention has passed by", (epoch) => `${epoch}.5`],
  ])("%s is answered by a reset, with the state and the place from which events follow", async (_, place) => {
    await inStorm(300);
    await runInDurableObject(rawService(), (__, { storage }) => {
      storage.sql.exec("DELETE FROM system_events WHERE seq <= 200");
    });
    await abortAllDurableObjects();
    const { storageId, head } = await service().events(null, 1);
    const since = place(storageId, head);
    const socket = await connect({ path: `/health/ws?service=R2_STORAGE&since=${since}` });
    await pause();
    await socket.until(({ events }) => events.length > 0);
    const at = (await service().events(null, 1)).head;
    expect(socket.frames[0]).toMatchObject({
      type: "reset",
      epoch: storageId,
      services: [{}],
      seq: expect.any(Number),
    });
    const first = socket.ofType("reset")[0]?.seq ?? -1;
    expect(numbers(socket)).toEqual(from(first + 1, at - first));
  });

  test.each(["yesterday", "a.b", "..", `${"x".repeat(2_000)}.1`, "%00.1", "x.1%0d%0aset-cookie:a"])(
    "%j is refused",
    async (since) => {
      expect(await verdict(await dial({ path: `/health/ws?since=${since}` }))).toBe("400 INVALID_REQUEST");
    },
  );
});

describe("over the end of the object", () => {
  test("a hibernated subscriber goes on without a gap and without a duplicate", async () => {
    const socket = await connect();
    const all = await connect(ALL);
    for (let round = 0; round < 4; round += 1) {
      await pause();
      await evictDurableObject(rawService());
      await resume();
      await evictDurableObject(rawSystem());
    }
    const isWhole = ({ events }: Socket) => events.length === 8;
    for (const each of [socket, all]) {
      await each.until(isWhole);
      const first = each.events[0]?.seq ?? -1;
      expect(numbers(each)).toEqual(from(first, 8));
    }
  });

  test("an event that was recorded and not sent when the object went is sent when it is back", async () => {
    const socket = await connect();
    await socket.until(({ frames }) => frames.length > 0);
    // What a crash between the two would leave behind.
    await runInDurableObject(rawService(), (_, { storage }) => {
      storage.sql.exec(
        `INSERT INTO system_events (seq, event_id, event_type, event_category, service_name, severity, event_data, created_at)
         SELECT COALESCE(MAX(seq), 0) + 1, 'crashed', 'QUEUE_PAUSED', 'QUEUE', 'R2_STORAGE', 'INFO', '{}', '2026-01-01T00:00:00Z'
         FROM system_events`,
      );
    });
    await evictDurableObject(rawService());
    await service().overview();
    await socket.until(({ events }) => events.length === 1);
    await resume();
    await pause();
    await socket.until(({ events }) => events.length === 2);
    expect(numbers(socket)).toEqual(from(socket.events[0]?.seq ?? -1, 2));
  });
});

describe("who sees what", () => {
  const secrets = async () => {
    await service().setMode({ mode: "forced_open", circuits: ["write"], reason: "secret reason" }, BY);
    await service().notice(busy(2, 1));
  };

  test("without a token no reason, no data, no actor, over the state too", async () => {
    const open = [await connect(), await connect(ALL), await connect({ headers: { authorization: "Bearer wrong" } })];
    await secrets();
    await until(report.bind(null, "r"), () => open.every(({ events }) => events.length >= 4));
    for (const socket of open) {
      await socket.until((seen) => seen.ofType("state").some(({ services }) => services[0]?.status !== "HEALTHY"));
      expect(socket.texts.join()).not.toMatch(/secret|tester|req-1|"shard"/);
      expect(socket.events.every(({ event }) => JSON.stringify(event.event_data) === "{}")).toBe(true);
    }
  });

  test.each([
    ["the Authorization header", { authorization: "Bearer dev-r2" }],
    ["the subprotocol", { "sec-websocket-protocol": "r2-failover, bearer.dev-admin" }],
  ])("with a token in %s everything, also after the object has slept", async (_, headers) => {
    const socket = await connect({ headers });
    await evictDurableObject(rawService());
    await secrets();
    await socket.until(({ texts }) => /secret reason/.test(texts.join()) && /tester/.test(texts.join()));
  });

  test("the subprotocol that is offered is accepted, and no other", async () => {
    const protocols = async (offer: string) =>
      (await dial({ headers: { "sec-websocket-protocol": offer } })).headers.get("sec-websocket-protocol");
    expect(await protocols("r2-failover, bearer.dev-admin")).toBe("r2-failover");
    expect(await protocols("chat")).toBeNull();
  });

  test("a page of another origin is refused, unless CORS_ORIGINS lists it", async () => {
    const headers = { origin: "https://elsewhere.example" };
    expect(await verdict(await dial({ headers }))).toBe("403 FORBIDDEN");
    expect((await dial({ headers, env: { CORS_ORIGINS: "https://elsewhere.example" } })).status).toBe(101);
    expect((await dial({ headers: { origin: "http://worker.test" } })).status).toBe(101);
  });
});

describe("what is no subscription", () => {
  test.each([
    ["a plain request", "/health/ws", { upgrade: "" }, "426 UPGRADE_REQUIRED"],
    ["another protocol", "/health/ws", { upgrade: "h2c" }, "426 UPGRADE_REQUIRED"],
    ["a service that there is not", "/health/ws?service=NOPE", {}, "404 UNKNOWN_SERVICE"],
  ])("%s is refused", async (_, path, headers, expected) => {
    const response = await dial({ path, headers: headers as Record<string, string> });
    if (expected.startsWith("426")) expect(response.headers.get("upgrade")).toBe("websocket");
    expect(await verdict(response)).toBe(expected);
  });

  test.each<[string, string | ArrayBuffer, number]>([
    ["no JSON", "hello", 1008],
    ["no frame", "{}", 1008],
    ["another frame", '{"type":"event","seq":1}', 1008],
    ["a number gone wrong", '{"type":"ack","seq":-1}', 1008],
    ["another number gone wrong", '{"type":"ack","seq":1e400}', 1008],
    ["a long text", `{"type":"ack","seq":1,"x":"${"x".repeat(10_000)}"}`, 1009],
    ["bytes", new ArrayBuffer(8), 1003],
  ])("a client that sends %s is closed, and nobody else", async (_, message, code) => {
    const [bad, good] = [await connect(), await connect()];
    bad.send(message);
    await bad.until(({ closed }) => closed !== null);
    expect(bad.closed?.code).toBe(code);
    await pause();
    await good.until(({ events }) => events.length === 1);
  });

  test("a client that floods is closed", async () => {
    const socket = await connect();
    for (let n = 0; n < 200; n += 1) socket.send('{"type":"ack","seq":0}');
    await socket.until(({ closed }) => closed !== null);
    expect(socket.closed?.code).toBe(1008);
  });
});
