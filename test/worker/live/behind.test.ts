/** Subscribers that take no more: they are let go, and keep nobody else waiting. */
import { reset } from "cloudflare:test";
import { afterEach, expect, test, vi } from "vitest";
import { recordedEvent } from "../../../src/shared/records";
import { BY, service } from "../service/world";
import { connect, type Socket, WITH_TOKEN } from "./socket";

afterEach(async () => {
  vi.useRealTimers();
  await reset();
});

const ack = (socket: Socket, seq: number) => socket.send(JSON.stringify({ type: "ack", seq }));
const lastOf = (socket: Socket) => socket.events.at(-1)?.seq ?? 0;
const placeOf = (socket: Socket) => {
  const [first] = socket.frames;
  return first?.type === "snapshot" ? first.seq : 0;
};

/** Answers once a subscriber's acknowledgement has been taken in: what it sends arrives in order. */
async function heard(socket: Socket): Promise<void> {
  const before = socket.texts.filter((text) => text === "pong").length;
  socket.send("ping");
  await socket.until(({ texts }) => texts.filter((text) => text === "pong").length > before);
}

let sent = 0;
/** Events of 10 KiB. */
async function large(count: number): Promise<number> {
  const first = sent + 1;
  sent += count;
  const events = Array.from({ length: count }, (_, n) => ({
    ...recordedEvent("OPERATION_COMPLETED", "INFO", { pad: "x".repeat(10_000) }, 0),
    seq: first + n,
  }));
  for (let n = 0; n < count; n += 500) {
    await service().takeEvents({ source: "shard:0", epoch: "large", after: 0, events: events.slice(n, n + 500) });
  }
  return (await service().events(null, 1)).head;
}

test("more than 1 MiB behind: closed with 1013, while the others get everything; since gives it the rest", {
  timeout: 90_000,
}, async () => {
  const stuck = await connect({ headers: WITH_TOKEN });
  const good = await connect({ headers: WITH_TOKEN });
  const plain = await connect({ headers: WITH_TOKEN });
  for (const socket of [stuck, good, plain]) await socket.until(({ frames }) => frames.length > 0);
  const { storageId } = await service().events(null, 1);
  ack(stuck, placeOf(stuck));
  ack(good, placeOf(good));
  await Promise.all([heard(stuck), heard(good)]);
  for (let n = 0; n < 4; n += 1) {
    const head = await large(40);
    await good.until((socket) => lastOf(socket) === head);
    ack(good, head);
    await heard(good);
  }
  await stuck.until(({ closed }) => closed !== null);
  expect(stuck.closed).toMatchObject({ code: 1013 });
  const { head } = await service().events(null, 1);
  // One that never acknowledges is given the benefit of the doubt for a while.
  await plain.until((socket) => lastOf(socket) === head);
  expect([good.closed, plain.closed]).toEqual([null, null]);
  const since = `${storageId}.${lastOf(stuck)}`;
  const again = await connect({ path: `/health/ws?service=R2_STORAGE&since=${since}` });
  await again.until((socket) => lastOf(socket) === head);
  const seqs = [...stuck.events, ...again.events].map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => placeOf(stuck) + 1 + index));
});

test("more than 10 s behind: closed with 1013 when there is more to send, and nobody else is", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const [stuck, good, plain] = [await connect(), await connect(), await connect()];
  for (const socket of [stuck, good]) {
    await socket.until(({ frames }) => frames.length > 0, 1e9);
    ack(socket, placeOf(socket));
    await socket.until(({ frames }) => frames.length > 0, 1e9);
  }
  await service().setPaused(true, BY);
  await good.until((socket) => socket.events.length === 1, 1e9);
  ack(good, lastOf(good));
  // The acknowledgement is on its way: a call after it comes after it.
  await new Promise((resolve) => setTimeout(resolve, 100));
  vi.setSystemTime(Date.now() + 10_500);
  await service().setPaused(false, BY);
  await stuck.until(({ closed }) => closed !== null, 1e9);
  expect(stuck.closed).toMatchObject({ code: 1013 });
  for (const socket of [good, plain]) await socket.until(({ events }) => events.length === 2, 1e9);
  expect([good.closed, plain.closed]).toEqual([null, null]);
});

test("what was missed is sent at the pace of its acknowledgements", { timeout: 90_000 }, async () => {
  const { storageId } = await service().events(null, 1);
  const head = await large(400);
  const socket = await connect({
    path: `/health/ws?service=R2_STORAGE&since=${storageId}.0`,
    headers: WITH_TOKEN,
  });
  ack(socket, 0);
  await socket.until(({ events }) => events.length >= 40);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const held = socket.events.length;
  expect(held).toBeLessThan(400);
  while (lastOf(socket) < head) {
    const before = lastOf(socket);
    ack(socket, before);
    await socket.until((seen) => lastOf(seen) > before);
  }
  const seqs = socket.events.map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => 1 + index));
  expect(socket.closed).toBeNull();
});
