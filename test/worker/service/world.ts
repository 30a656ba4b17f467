import { env } from "cloudflare:workers";
import { serviceStub } from "../../../src/bucket/stubs";
import { DEFAULT_SERVICE } from "../../../src/shared/env";
import { emptyHistogram } from "../../../src/shared/latency";
import type {
  BucketMethod,
  CircuitState,
  ClassCounts,
  FaultRule,
  IsolateReport,
  OperationClass,
  ShardNotice,
} from "../../../src/shared/protocol";
import type { EventRecord } from "../../../src/shared/records";
import type { SystemRpc } from "../../../src/shared/rpc";
import { IDLE_USAGE } from "../../unit/service/usage";

export const BY = { actor: "tester", requestId: "req-1" };

/** A stub for the default service; a new one for every call, since an aborted object breaks its stubs. */
export const service = () => serviceStub(env, DEFAULT_SERVICE);
export const rawService = () => env.SERVICE_DO.get(env.SERVICE_DO.idFromName(DEFAULT_SERVICE));
export const system = () => env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system")) as unknown as SystemRpc;

/** Sets config of the service, so that real timers are short. */
export async function configure(values: Readonly<Record<string, number>>): Promise<void> {
  for (const [key, value] of Object.entries(values)) {
    const answer = await system().setConfig(DEFAULT_SERVICE, key, value, BY);
    if (!answer.ok) throw new Error(answer.message);
  }
}

/** Open times of at most 100 ms. */
export const FAST = { circuit_breaker_timeout: 100 };

export const fail = (operations: FaultRule["operations"]) => service().setFaults([{ operations }], BY);
export const heal = () => service().setFaults([], BY);

export interface Said {
  readonly read?: Partial<ClassCounts>;
  readonly write?: Partial<ClassCounts>;
  readonly circuits?: Partial<Record<OperationClass, CircuitState>>;
  readonly bucketCalls?: Partial<Record<BucketMethod, number>>;
}

export function reportOf(reporter: string, said: Said = {}): IsolateReport {
  const none = { success: 0, failure: 0, throttled: 0, ignored: 0, consecutiveFailures: 0, latency: emptyHistogram() };
  return {
    reporter,
    counts: { read: { ...none, ...said.read }, write: { ...none, ...said.write } },
    circuits: { read: "CLOSED", write: "CLOSED", ...said.circuits },
    bucketCalls: said.bucketCalls ?? {},
    rejected: { read: 0, write: 0 },
    failedReports: 0,
  };
}

export const report = (reporter: string, said: Said = {}) => service().report(reportOf(reporter, said));

/** Five writes failed, and the reporter's own circuit has opened. */
export const OUTAGE: Said = { write: { failure: 5, consecutiveFailures: 5 }, circuits: { write: "OPEN" } };

/** Two isolates agree that writes are down. */
export async function openWrites(): Promise<void> {
  await report("a", OUTAGE);
  await report("b", OUTAGE);
}

export function busy(shard: number, epoch: number, change: Partial<ShardNotice> = {}): ShardNotice {
  const usage = { ...IDLE_USAGE, pending: 1, bytes: 10 };
  return { shard, epoch, busy: [7], usage, wanted: { operations: 1, bytes: 10 }, ...change };
}

export const stateOf = async (operationClass: OperationClass) =>
  (await service().overview()).record.circuits[operationClass].state;

export const allEvents = async (): Promise<EventRecord[]> => (await service().events(0, 1_000)).events;

/** Asks again until the answer is as wanted: alarms are real, and R2's clock cannot be faked. */
export async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean, ms = 5_000): Promise<T> {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`not within ${ms} ms; the last answer was ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
