/** Two Workers on one service, the second with a snapshot from before: what it reads, and how its writes are ordered. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { createIsolates, type Isolate } from "../model/isolates";
import { configureQueues, pause, TestService } from "../model/service";

let open: ((service: string) => Isolate)[];
let opened = 0;

beforeAll(async () => {
  // The isolates first: they load the library anew, and the objects with it.
  open = await createIsolates(2);
  await configureQueues();
});

interface Scene {
  readonly service: TestService;
  readonly key: string;
  /** Knows that R2 takes no writes. */
  readonly knowing: Isolate;
  /** Believes that all is well, for as long as its lease lasts. */
  readonly old: Isolate;
}

/** The old snapshot is good for `leaseMs`. A queued delete waits as long, since somebody may still write past it. */
async function outageOfWrites(leaseMs = 3_000): Promise<Scene> {
  opened += 1;
  const service = await TestService.open(`TWO_${opened}`, open, { lease_cap_ms: leaseMs });
  const [knowing, old] = service.isolates as [Isolate, Isolate];
  const key = service.key(0);
  await knowing.bounded.put(key, "before");
  await service.refresh();
  const mode = { mode: "forced_open", circuits: ["write"], reason: "the test" } as const;
  const answer = await service.service.setMode(mode, { actor: "test", requestId: "test" });
  if (!answer.ok) throw new Error(answer.message);
  knowing.adopt(answer.snapshot);
  return { service, key, knowing, old };
}

async function drained(service: TestService): Promise<void> {
  await service.heal();
  await service.drained(30_000);
}

const text = async (read: Promise<R2ObjectBody | null>) => (await read)?.text();
const inR2 = (key: string) => text(env.R2_BUCKET.get(key));
const statuses = async (service: TestService) =>
  (await service.operations())
    .sort((a, b) => a.created_at.localeCompare(b.created_at))
    .map(({ operation_type, status }) => `${operation_type} ${status}`);

describe.concurrent("a write that one has queued", () => {
  test("is read by the other at once with `strong`, put or delete, body or metadata", async () => {
    const { service, key, knowing, old } = await outageOfWrites();
    expect((await knowing.bounded.write(key, "queued", { customMetadata: { a: "1" } })).kind).toBe("queued");
    expect(await text(old.strong.get(key))).toBe("queued");
    expect(await text(old.strong.get(key, { range: { suffix: 2 } }))).toBe("ed");
    expect(await old.strong.head(key)).toMatchObject({ size: 6, customMetadata: { a: "1" } });
    expect((await knowing.bounded.remove(key)).kind).toBe("queued");
    expect(await old.strong.get(key)).toBeNull();
    expect(await old.strong.head(key)).toBeNull();
    await drained(service);
  });

  test("is read by the other within one lease with `bounded`, and from then on", async () => {
    const leaseMs = 500;
    const { service, key, knowing, old } = await outageOfWrites(leaseMs);
    await service.setPaused(true);
    await old.refresh();
    const leaseEndsAt = Date.now() + leaseMs;
    await knowing.bounded.put(key, "queued");
    let hasSeen = false;
    while (Date.now() < leaseEndsAt + leaseMs) {
      const isDue = hasSeen || Date.now() >= leaseEndsAt;
      const seen = await text(old.bounded.get(key));
      if (isDue) expect(seen).toBe("queued");
      hasSeen = seen === "queued";
      await pause(10);
    }
    await drained(service);
    expect(await inR2(key)).toBe("queued");
  });
});

describe.concurrent("with a snapshot from before", () => {
  test("a delete is ordered after what is queued", async () => {
    const { service, key, knowing, old } = await outageOfWrites();
    await knowing.bounded.put(key, "queued");
    await pause(2);
    expect((await old.bounded.remove(key)).kind).toBe("queued");
    expect(await old.bounded.get(key)).toBeNull();
    expect(await knowing.strong.get(key)).toBeNull();
    await drained(service);
    expect(await inR2(key)).toBeUndefined();
    expect(await statuses(service)).toEqual(["UPLOAD SUPERSEDED", "DELETE COMPLETED"]);
  });

  test("a conditional put is decided by what is queued, not by what R2 holds", async () => {
    const { service, key, knowing, old } = await outageOfWrites();
    const before = (await env.R2_BUCKET.head(key))?.etag ?? "";
    const queued = await knowing.bounded.put(key, "queued");
    expect(await old.bounded.put(key, "no", { onlyIf: { etagMatches: before } })).toBeNull();
    expect(await old.bounded.put(key, "no", { onlyIf: { etagDoesNotMatch: queued.etag } })).toBeNull();
    await pause(2);
    const next = await old.bounded.write(key, "yes", { onlyIf: { etagMatches: queued.etag } });
    expect(next.kind).toBe("queued");
    expect(await text(old.bounded.get(key))).toBe("yes");
    await drained(service);
    expect(await inR2(key)).toBe("yes");
  });

  test("a create-only put succeeds where a delete is queued, though R2 still holds the object", async () => {
    const { service, key, knowing, old } = await outageOfWrites();
    await knowing.bounded.remove(key);
    await pause(2);
    const created = await old.bounded.write(key, "created", { onlyIf: new Headers({ "if-none-match": "*" }) });
    expect(created.kind).toBe("queued");
    await drained(service);
    expect(await inR2(key)).toBe("created");
    expect(await statuses(service)).toEqual(["DELETE SUPERSEDED", "UPLOAD COMPLETED"]);
  });

  test.each([
    { what: "put", queue: (isolate: Isolate, key: string) => isolate.bounded.put(key, "queued") },
    { what: "delete", queue: (isolate: Isolate, key: string) => isolate.bounded.delete(key) },
  ])("a put that goes to R2 after a $what was queued is the newer one, and survives the drain", async ({ queue }) => {
    const { service, key, knowing, old } = await outageOfWrites();
    await queue(knowing, key);
    await pause(5);
    expect((await old.bounded.write(key, "direct, newer")).kind).toBe("stored");
    expect(await text(knowing.bounded.get(key))).toBe("direct, newer");
    await drained(service);
    expect(await inR2(key)).toBe("direct, newer");
    expect((await statuses(service))[0]).toMatch(/SUPERSEDED$/);
  });
});
