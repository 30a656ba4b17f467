/**
 * An outage replayed on a clock of its own: the real object over its real storage, and isolates made of the library's own
 * parts. Only R2, the queue's shard and the time are simulated; randomness is the constant 0.5. Two hours take seconds.
 */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { ServiceDO } from "../../../durable-objects/service/service-do";
import { admit, ended } from "../../../src/bucket/admission";
import { createIsolateState, type IsolateState, takeSnapshot } from "../../../src/bucket/isolate-state";
import { stateAt } from "../../../src/circuit/circuit";
import { reportAnswered, reportDue, reportSent, take } from "../../../src/circuit/reporter";
import { DEFAULT_CONFIG } from "../../../src/shared/config";
import type { FailoverEnv } from "../../../src/shared/env";
import { OPERATION_CLASSES, type OperationClass, type ShardUsage } from "../../../src/shared/protocol";
import type { AvailabilityRecord, EventRecord, IncidentRecord } from "../../../src/shared/records";

/** What R2 does at a time: the share of the calls of each class that fail, 0-1. */
export type Shape = (at: number) => Readonly<Record<OperationClass, number>>;

export interface Outage {
  readonly service: string;
  readonly from: number;
  readonly to: number;
  readonly isolates: number;
  /** Every isolate makes one read and one write this often. */
  readonly callEveryMs: number;
  /** Operations that the queue applies per second, when the write circuit is closed. */
  readonly drainPerS: number;
  readonly shape: Shape;
}

export interface Replayed {
  readonly availability: AvailabilityRecord;
  readonly incidents: readonly IncidentRecord[];
  readonly events: readonly EventRecord[];
  /** What became of all calls of all isolates. */
  readonly calls: Readonly<Record<OperationClass, { success: number; failure: number; rejected: number }>>;
}

/** Fails the given share of its calls, spread evenly: a third is every third one. */
function evenly(): (share: number) => boolean {
  let owed = 0;
  return (share) => {
    owed += share;
    if (owed < 1 - 1e-9) return false;
    owed -= 1;
    return true;
  };
}

interface Isolate {
  readonly state: IsolateState;
  readonly isFailing: Readonly<Record<OperationClass, (share: number) => boolean>>;
}

export async function replay(outage: Outage): Promise<Replayed> {
  const { service, from, to, shape } = outage;
  const stub = env.SERVICE_DO.get(env.SERVICE_DO.idFromName(service));
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  try {
    vi.setSystemTime(from);
    return await runInDurableObject(stub, async (_, context) => {
      let alarmAt: number | null = null;
      const background: Promise<unknown>[] = [];
      // The replay's own alarm, and its own list of what goes on in the background.
      Object.defineProperty(context.storage, "setAlarm", {
        value: async (at: number) => {
          alarmAt = at;
        },
      });
      Object.defineProperty(context, "waitUntil", { value: (work: Promise<unknown>) => background.push(work) });
      const object = new ServiceDO(context, simulatedEnv(shape));
      const settled = async () => {
        while (background.length > 0) await Promise.all(background.splice(0));
      };

      const isolates = Array.from({ length: outage.isolates }, (_, n): Isolate => {
        const state = createIsolateState(service);
        state.id = `isolate-${n}`;
        return { state, isFailing: { read: evenly(), write: evenly() } };
      });
      const shard = new SimulatedShard(object);
      const none = () => ({ success: 0, failure: 0, rejected: 0 });
      const calls = { read: none(), write: none() };

      const report = async ({ state }: Isolate, now: number) => {
        const { rejected } = state;
        state.rejected = { read: 0, write: 0 };
        const counts = take(state.reporter.counters);
        const circuits = { read: stateAt(state.circuits.read, now), write: stateAt(state.circuits.write, now) };
        reportSent(state.reporter, now);
        const sent = { reporter: state.id ?? "", counts, circuits, bucketCalls: {}, rejected, failedReports: 0 };
        const snapshot = await object.report(sent);
        takeSnapshot(state, snapshot, now);
        reportAnswered(state.reporter, now, snapshot);
        await settled();
      };

      const call = ({ state, isFailing }: Isolate, operationClass: OperationClass, now: number) => {
        const admission = admit(state, operationClass, now);
        let end: "success" | "failure" | "rejected" = "rejected";
        if (admission.admitted) {
          end = isFailing[operationClass](shape(now)[operationClass]) ? "failure" : "success";
          ended(state, operationClass, admission.permit, end, 5, now);
        }
        calls[operationClass][end] += 1;
        if (operationClass === "write" && end !== "success") shard.accept();
      };

      let nextCall = from;
      let nextTick = from + 1_000;
      for (;;) {
        const prompts = isolates.flatMap(({ state }) => state.reporter.promptedAt ?? []);
        const now = Math.min(nextCall, nextTick, alarmAt ?? to, ...prompts);
        if (now >= to) break;
        vi.setSystemTime(now);
        if (alarmAt !== null && alarmAt <= now) {
          alarmAt = null;
          await object.alarm();
          await settled();
        }
        if (now === nextCall) {
          nextCall += outage.callEveryMs;
          for (const isolate of isolates) for (const c of OPERATION_CLASSES) call(isolate, c, now);
        }
        for (const isolate of isolates) if (reportDue(isolate.state.reporter, now)) await report(isolate, now);
        if (now === nextTick) {
          nextTick += 1_000;
          await shard.tick(outage.drainPerS);
          await settled();
        }
      }
      vi.setSystemTime(to);
      for (const isolate of isolates) await report(isolate, to);
      const { events } = await object.events(0, 10_000);
      const hours = (to - from) / 3_600_000;
      return {
        availability: await object.availability(hours),
        incidents: await object.incidents(10),
        events: [...events].sort((one, other) => one.seq - other.seq),
        calls,
      };
    });
  } finally {
    vi.restoreAllMocks();
    vi.useRealTimers();
  }
}

/** A shard that accepts what R2 did not take, tells its ServiceDO once a second, and drains at a steady rate. */
class SimulatedShard {
  #epoch = 0;
  #accepted = 0;
  #completed = 0;
  #isBusy = false;

  constructor(private readonly object: ServiceDO) {}

  accept(): void {
    this.#accepted += 1;
  }

  async tick(drainPerS: number): Promise<void> {
    const { record } = await this.object.overview();
    if (record.circuits.write.state === "CLOSED" && this.#isBusy) {
      this.#completed = Math.min(this.#accepted, this.#completed + drainPerS);
    }
    const pending = this.#accepted - this.#completed;
    if (pending === 0 && !this.#isBusy) return;
    const usage: ShardUsage = {
      pending,
      processing: 0,
      failed: 0,
      bytes: 10 * pending,
      oldestAt: null,
      completed: this.#completed,
      cancelled: 0,
      superseded: 0,
      accepted: this.#accepted,
      swept: 0,
    };
    if (!this.#isBusy) this.#epoch += 1;
    this.#isBusy = pending > 0;
    const common = { shard: 0, epoch: this.#epoch, usage };
    if (pending === 0) await this.object.calm(common);
    else await this.object.notice({ ...common, busy: "all", wanted: { operations: pending, bytes: 10 * pending } });
  }
}

function simulatedEnv(shape: Shape): FailoverEnv {
  const isFailing = { read: evenly(), write: evenly() };
  const answer = <T>(operationClass: OperationClass, value: T): Promise<T> =>
    isFailing[operationClass](shape(Date.now())[operationClass])
      ? Promise.reject(new Error("We encountered an internal error. (10001)"))
      : Promise.resolve(value);
  const bucket = {
    put: () => answer("write", { uploaded: new Date() }),
    get: () => answer("read", null),
    delete: () => answer("write", undefined),
  };
  const object = <T>(value: T) => ({ idFromName: (name: string) => name, get: () => value });
  const queue = { ...DEFAULT_CONFIG.queue, max_queue_size: 100_000 };
  const system = {
    register: async () => ({ ...DEFAULT_CONFIG, queue }),
    takeEvents: async ({ events, after }: { events: { seq: number }[]; after: number }) => ({
      taken: events.at(-1)?.seq ?? after,
    }),
  };
  const simulated: Record<string, unknown> = {
    ...env,
    R2_BUCKET: bucket,
    R2_SERVICES: JSON.stringify({ "2025-02-06": "R2_BUCKET", "2025-03-21": "R2_BUCKET" }),
    QUEUE_DO: object({ wake: async () => undefined }),
    SYSTEM_DO: object(system),
  };
  return simulated as unknown as FailoverEnv;
}
