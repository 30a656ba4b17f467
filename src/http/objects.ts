import { shardCount } from "../bucket/isolate-service";
import { systemStub } from "../bucket/stubs";
import { DEFAULT_SERVICE, type WorkerEnv } from "../shared/env";
import { FailoverError } from "../shared/errors";
import { boundServices } from "../shared/probes";
import type { Answer } from "../shared/protocol";
import { within } from "../shared/within";
import type { Call } from "./call";
import { decodePart } from "./input";
import { errorFields, log } from "./log";

/** A hanging object must not hang the page that tells about it. */
const READ_DEADLINE_MS = 2_000;
/** Actions by hand write, and may touch many operations. */
export const ACTION_DEADLINE_MS = 15_000;
/** A probe waits for R2 itself. */
export const PROBE_DEADLINE_MS = 60_000;

const RETRY_AFTER_S = 2;

/** Calls an object. Throws `SERVICE_UNAVAILABLE` when it fails or does not answer in time; the cause is only logged. */
export async function ask<T>(what: string, run: () => Promise<T>, deadlineMs = READ_DEADLINE_MS): Promise<T> {
  try {
    return await within(run(), deadlineMs, () => new Error(`no answer within ${deadlineMs} ms`));
  } catch (cause) {
    if (cause instanceof FailoverError) throw cause;
    log("warn", "object_call_failed", { what, ...errorFields(cause) });
    throw new FailoverError("SERVICE_UNAVAILABLE", `${what} does not answer.`, { cause, retryAfter: RETRY_AFTER_S });
  }
}

/** The same, with null for an object that cannot be reached. */
export async function askOrNull<T>(
  what: string,
  run: () => Promise<T>,
  deadlineMs = READ_DEADLINE_MS,
): Promise<T | null> {
  return ask(what, run, deadlineMs).catch((error: unknown) => {
    if (error instanceof FailoverError && error.code === "SERVICE_UNAVAILABLE") return null;
    throw error;
  });
}

/** A refusal that came as a value becomes the error that it stands for. */
export function unwrap<T>(answer: Answer<T>): T {
  if (answer.ok) return answer;
  const { retryAfter } = answer;
  throw new FailoverError(answer.code, answer.message, retryAfter === undefined ? {} : { retryAfter });
}

/** Every service that there is: those that are bound, and those that registered themselves, as far as can be asked. */
export async function knownServices(env: WorkerEnv): Promise<string[]> {
  const registered = await askOrNull("The registry of services", () => systemStub(env).services());
  return [...new Set([...boundServices(env), ...(registered ?? [])])];
}

/** Throws `UNKNOWN_SERVICE`: an object must not come to life because someone typed a name. */
export async function requireService(env: WorkerEnv, name: string): Promise<string> {
  if (boundServices(env).includes(name)) return name;
  const registered = await ask("The registry of services", () => systemStub(env).services());
  if (registered.includes(name)) return name;
  throw new FailoverError("UNKNOWN_SERVICE", `No service is called "${name}".`);
}

/** The service that `?service=` names. */
export function serviceOfQuery(call: Call): Promise<string> {
  return requireService(call.env, call.url.searchParams.get("service") ?? DEFAULT_SERVICE);
}

/** The service that the path names. */
export function serviceOfPath(call: Call): Promise<string> {
  return requireService(call.env, decodePart(call.params.serviceName ?? ""));
}

/** The number of queue shards, from the isolate's snapshot where it has one. */
export function shardsOf(env: WorkerEnv, service: string): Promise<number> {
  return ask("The queue", () => shardCount(env, service));
}
