/**
 * A subscriber that is killed and resumed a hundred times at random, while events flow and the object ends and begins
 * again, has seen every event exactly once, in order. A failure names its seed: SEED repeats it.
 */
import { abortAllDurableObjects, evictDurableObject, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test } from "vitest";
import { type StatusSubscription, subscribeStatus } from "../../../src/client-ws";
import { type EventRecord, recordedEvent } from "../../../src/shared/records";
import type { EventPage } from "../../../src/shared/rpc";
import { BY, rawService, service, system, until } from "../service/world";
import { dial, Socket } from "./socket";

afterEach(() => reset());

const KILLS = 100;
const SEEDS = [20261124];
const rawSystem = () => env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));

/** Mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const streams = {
  "one service": { path: "/health/ws?service=R2_STORAGE", page: (since: number) => service().events(since, 1_000) },
  "the system feed": { path: "/health/ws", page: (since: number) => system().events(since, 1_000) },
};

/** Something happens: an event or several, in the service or in SystemDO. */
async function happen(random: () => number): Promise<void> {
  const kind = Math.floor(random() * 4);
  const value = Math.floor(random() * 1_000_000);
  if (kind === 0) await service().setFaults([{ operations: ["list"], latency_ms: value % 1_000 }], BY);
  else if (kind === 1) await system().setConfig("R2_STORAGE", "max_retries", value % 100, BY);
  else {
    const event = { ...recordedEvent("OPERATION_PAYLOAD_READ", "INFO", { value }, 0), id: crypto.randomUUID() };
    await service().recordEvent(event);
  }
}

/** Ends the objects in one of the ways that there are. */
async function endObjects(random: () => number): Promise<void> {
  const way = Math.floor(random() * 4);
  if (way === 0) return abortAllDurableObjects();
  // Only what runs can be evicted.
  await Promise.all([service().faults(), system().services()]);
  if (way === 1) await evictDurableObject(rawService(), { webSockets: "close" });
  else await evictDurableObject(way === 2 ? rawService() : rawSystem());
}

async function wholeLog(page: (since: number) => Promise<EventPage>, after: number): Promise<EventRecord[]> {
  const events: EventRecord[] = [];
  for (let since = after; ; ) {
    const next = (await page(since)).events;
    events.push(...next);
    const last = next.at(-1);
    if (last === undefined) return events;
    since = last.seq;
  }
}

for (const [name, { path, page }] of Object.entries(streams)) {
  test.each(SEEDS)(`of ${name}, seed %i: by its own means`, { timeout: 240_000 }, async (seed) => {
    const random = randomOf(seed);
    await service().overview();
    await until(
      () => system().events(null, 1),
      () => true,
    );
    const { storageId, head } = await page(0);
    const seen: number[] = [];
    let since = `${storageId}.${head}`;
    const frames: string[] = [];
    for (let kill = 0; kill < KILLS; kill += 1) {
      const response = await dial({ path: `${path}${path.includes("?") ? "&" : "?"}since=${since}` });
      if (response.webSocket === null) throw new Error(`seed ${seed}: ${response.status}`);
      const socket = new Socket(response.webSocket);
      const things = 1 + Math.floor(random() * 3);
      for (let n = 0; n < things; n += 1) await happen(random);
      if (random() < 0.25) await endObjects(random);
      if (random() < 0.5) await happen(random);
      if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 20));
      // Killed at any moment: what it has not read by now it has not seen.
      socket.close();
      frames.push(...socket.frames.map(({ type }) => type));
      for (const { epoch, seq } of socket.events) {
        seen.push(seq);
        since = `${epoch}.${seq}`;
      }
    }
    const last = new Socket(
      (await dial({ path: `${path}${path.includes("?") ? "&" : "?"}since=${since}` })).webSocket as WebSocket,
    );
    const expected = async () => (await wholeLog(page, head)).map(({ seq }) => seq);
    await until(expected, (all) => seen.length + last.events.length >= all.length, 20_000);
    seen.push(...last.events.map(({ seq }) => seq));
    expect(seen, `seed ${seed}`).toEqual(await expected());
    expect(seen.length).toBeGreaterThan(KILLS);
    expect(frames).not.toContain("reset");
  });

  test.each(SEEDS)(`of ${name}, seed %i: with the client helper`, { timeout: 240_000 }, async (seed) => {
    const random = randomOf(seed);
    await service().overview();
    const { storageId, head } = await page(0);
    const seen: EventRecord[] = [];
    const causes = new Set<string>();
    let open: WebSocket | null = null;
    let subscription: StatusSubscription | null = null;
    const start = (since: string) => {
      subscription = subscribeStatus({
        url: `http://worker.test${path}`,
        since,
        random: () => 0,
        onEvent: (event) => seen.push(event),
        onState: (_, cause) => causes.add(cause),
        connect: async (url) => {
          const target = new URL(url);
          const { webSocket } = await dial({ path: `${target.pathname}${target.search}` });
          if (webSocket === null) throw new Error("no WebSocket");
          webSocket.accept();
          open = webSocket;
          return webSocket;
        },
      });
      return subscription;
    };
    let current = start(`${storageId}.${head}`);
    for (let kill = 0; kill < KILLS; kill += 1) {
      const things = 1 + Math.floor(random() * 3);
      for (let n = 0; n < things; n += 1) await happen(random);
      const way = random();
      if (way < 0.15) await endObjects(random);
      else if (way < 0.6) (open as WebSocket | null)?.close(4000, "killed");
      else {
        // The page itself goes, and comes back with what it had stored.
        const { since } = current;
        current.close();
        current = start(since ?? "");
      }
      await new Promise((resolve) => setTimeout(resolve, random() * 30));
    }
    const expected = await wholeLog(page, head);
    await until(
      () => wholeLog(page, head),
      (all) => seen.length >= all.length,
      40_000,
    );
    current.close();
    expect(seen, `seed ${seed}`).toEqual((await wholeLog(page, head)).map((event) => ({ ...event, event_data: {} })));
    expect(expected.length).toBeGreaterThan(KILLS);
    expect(causes).not.toContain("reset");
  });
}
