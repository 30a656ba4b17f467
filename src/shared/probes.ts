/** What is probed besides buckets: D1, KV, a URL, or a handler Worker. */
import * as z from "zod";
import { bucketBindings, type FailoverEnv } from "./env";
import { FailoverError } from "./errors";

const binding = z.string().min(1);

const target = z.discriminatedUnion("kind", [
  /** The query must be answered. */
  z.strictObject({ kind: z.literal("d1"), binding, query: z.string().min(1).default("SELECT 1") }),
  /** The key must be there. Without one, a read of nothing must be answered. */
  z.strictObject({ kind: z.literal("kv"), binding, key: z.string().min(1).max(512).optional() }),
  /** The answer must have the status; without one, any below 400 does. */
  z.strictObject({
    kind: z.literal("url"),
    url: z.url({ protocol: /^https?$/ }),
    method: z.enum(["GET", "HEAD"]).default("GET"),
    status: z.int().min(200).max(599).optional(),
  }),
  /** The method of a service binding must answer, and not with false. */
  z.strictObject({ kind: z.literal("rpc"), binding, method: z.string().min(1).default("health") }),
]);
const targets = z.record(z.string().min(1).max(64), target);

export type ProbeTarget = z.output<typeof target>;

/** Monitored as soon as they are bound. */
const UNASKED: Readonly<Record<string, ProbeTarget>> = {
  D1_DATABASE: { kind: "d1", binding: "D1_DATABASE", query: "SELECT 1" },
  AUTH_KV: { kind: "kv", binding: "AUTH_KV" },
};

/** By service, buckets left out. Throws `INVALID_REQUEST` when `HEALTH_PROBES` makes no sense. */
export function probeTargets(env: FailoverEnv): Map<string, ProbeTarget> {
  const configured = Object.entries(parseTargets(env.HEALTH_PROBES));
  const unasked = Object.entries(UNASKED).filter(([name]) => boundValue(env, name) !== undefined);
  const found = new Map([...unasked, ...configured]);
  for (const service of bucketBindings(env).keys()) {
    if (found.has(service)) throw wrong(`${service} is a bucket, and is probed as one.`);
  }
  for (const [service, { kind, ...rest }] of found) {
    if (!("binding" in rest) || boundValue(env, rest.binding) !== undefined) continue;
    throw wrong(`${service} needs the binding ${rest.binding} (${kind}): add it to wrangler.toml.`);
  }
  return found;
}

/** Every service that is bound or configured here: those with a bucket, and those that are only probed. */
export function boundServices(env: FailoverEnv): string[] {
  return [...bucketBindings(env).keys(), ...probeTargets(env).keys()];
}

export function boundValue(env: FailoverEnv, name: string): unknown {
  const value: unknown = Reflect.get(env, name);
  return value ?? undefined;
}

function parseTargets(text: string | undefined): Record<string, ProbeTarget> {
  if (text === undefined || text === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong('it is not JSON. Write it as {"NAME":{"kind":"url","url":"https://…"}}.', cause);
  }
  const parsed = targets.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw wrong(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "is not valid"}.`);
}

function wrong(problem: string, cause?: unknown): FailoverError {
  return new FailoverError("INVALID_REQUEST", `HEALTH_PROBES: ${problem}`, { cause });
}
