/** What an outage leaves behind in the events of its service, with the real objects. */
import { expect, test } from "vitest";
import type { EventRecord } from "../../../src/shared/records";
import { asAdmin, asGateway } from "../http/client";
import { BY, service, system, until } from "../service/world";

const FAULTS = "/health/services/R2_STORAGE/faults";

async function allEvents(): Promise<EventRecord[]> {
  const { events } = await (await asAdmin("GET", "/health/events?service=R2_STORAGE&limit=1000")).json<{
    events: EventRecord[];
  }>();
  return events.reverse();
}

const typesOf = (events: readonly EventRecord[]) => events.map(({ event_type }) => event_type);
const ofType = (events: readonly EventRecord[], type: EventRecord["event_type"]) =>
  events.filter(({ event_type }) => event_type === type);

test("an outage: what was answered without R2, how full the queue got, and how each operation ended, once", async () => {
  for (const [key, value] of [
    ["max_queue_size", 8],
    ["shards", 1],
  ] as const) {
    expect(await system().setConfig("OPERATION_QUEUE", key, value, BY)).toMatchObject({ ok: true });
  }
  await system().setConfig("R2_STORAGE", "circuit_breaker_timeout", 200, BY);
  await asAdmin("PUT", FAULTS, { json: { faults: [{ operations: "write" }] } });
  const ids: string[] = [];
  for (let n = 0; n < 8; n += 1) {
    const response = await asGateway("PUT", `/r2/events/${n}`, { body: "x" });
    expect(response.status).toBe(202);
    ids.push((await response.json<{ operation_id: string }>()).operation_id);
  }
  // The one that is read is the one that is superseded.
  expect((await asGateway("GET", "/r2/events/0")).headers.get("x-failover-source")).toBe("queue");
  await until(allEvents, (events) => typesOf(events).includes("QUEUE_FULL"), 10_000);
  await asAdmin("POST", `/health/queue/operations/${ids[7]}/cancel`);
  const replaced = await asGateway("PUT", "/r2/events/0", { body: "y" });
  ids.push((await replaced.json<{ operation_id: string }>()).operation_id);
  await asAdmin("DELETE", FAULTS);
  const isOver = (events: readonly EventRecord[]) =>
    ofType(events, "OPERATION_COMPLETED").length === 7 && typesOf(events).includes("QUEUE_DRAINED");
  const events = await until(allEvents, isOver, 20_000);

  const ends = ["OPERATION_COMPLETED", "OPERATION_SUPERSEDED", "OPERATION_CANCELLED"] as const;
  const ended = ends.flatMap((type) => ofType(events, type).map(({ event_data }) => [event_data.operation_id, type]));
  expect(ended.toSorted()).toEqual(
    ids
      .map((id, n) => [id, n === 0 ? "OPERATION_SUPERSEDED" : n === 7 ? "OPERATION_CANCELLED" : "OPERATION_COMPLETED"])
      .toSorted(),
  );
  const [cancelled] = ofType(events, "OPERATION_CANCELLED");
  expect(cancelled?.event_data).toMatchObject({ actor: "admin", key: "events/7" });

  const milestones = typesOf(events).filter((type) => /^QUEUE_(FIRST|HALF|NEARLY|FULL|DRAINED)/.test(type));
  expect(milestones.at(0)).toBe("QUEUE_FIRST_QUEUED");
  expect(milestones.at(-1)).toBe("QUEUE_DRAINED");
  expect(milestones.filter((type) => type === "QUEUE_FULL")).toHaveLength(1);

  const [activated] = await until(allEvents, (all) => ofType(all, "FAILOVER_ACTIVATED").length > 0).then((all) =>
    ofType(all, "FAILOVER_ACTIVATED"),
  );
  expect(activated?.event_data.queued_writes).toBeGreaterThan(0);
  // Folded: one event a minute, though each of nine writes was one.
  expect(ofType(await allEvents(), "FAILOVER_ACTIVATED").length).toBeLessThan(4);
  const numbers = (await allEvents()).map(({ seq }) => seq);
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  expect((await service().overview()).usage.pending).toBe(0);
});
