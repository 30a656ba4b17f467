import type { QueueDO } from "../../durable-objects/queue/queue-do";
import type { ServiceDO } from "../../durable-objects/service/service-do";
import type { SystemDO } from "../../durable-objects/system/system-do";
import { FailoverError } from "./errors";

/** What the library looks for in an application's `env`. Namespaces may be bound with `script_name`. */
export interface FailoverEnv {
  R2_BUCKET: R2Bucket;
  SERVICE_DO: DurableObjectNamespace<ServiceDO>;
  QUEUE_DO: DurableObjectNamespace<QueueDO>;
  SYSTEM_DO: DurableObjectNamespace<SystemDO>;
  /** JSON object of service name → name of its R2 binding, for services other than `R2_STORAGE`. */
  R2_SERVICES?: string;
  /** Monitored as services of these names, when they are bound. */
  D1_DATABASE?: D1Database;
  AUTH_KV?: KVNamespace;
  /** JSON object of service name → what to probe, besides the buckets: see `probes.ts`. */
  HEALTH_PROBES?: string;
  /** `on` lets operators inject faults. Any other value, or none, forbids it. */
  FAULT_INJECTION?: string;
  /** Base64 of 32 bytes, optionally `<key id>:<base64>`. Set: queued payloads are AES-256-GCM encrypted at rest. */
  PAYLOAD_ENCRYPTION_KEY?: string;
  /** Keys that may still be read, comma-separated, after a rotation. */
  PAYLOAD_ENCRYPTION_KEY_PREVIOUS?: string;
}

/** What the failover Worker itself has besides. */
export interface WorkerEnv extends FailoverEnv {
  ADMIN_TOKEN?: string;
  R2_TOKEN?: string;
  R2_PUBLIC_READ?: string;
  /** Users' tokens: the secret of HS256, or the URL of a key set, which needs the audience beside it. */
  USER_JWT_SECRET?: string;
  USER_JWKS_URL?: string;
  USER_JWT_AUDIENCE?: string;
  /** Where a user's objects lie, with `{sub}/` for the user: `users/{sub}/`. Unset: users reach no objects. */
  R2_USER_PREFIX?: string;
  /** Origins whose pages may call, comma-separated; `*` for any. Unset: none. */
  CORS_ORIGINS?: string;
}

export const DEFAULT_SERVICE = "R2_STORAGE";

/** The services that this Worker knows, each with the name of its R2 binding. Throws `INVALID_REQUEST` on bad JSON. */
export function bucketBindings(env: FailoverEnv): Map<string, string> {
  const bindings = new Map([[DEFAULT_SERVICE, "R2_BUCKET"]]);
  if (env.R2_SERVICES === undefined || env.R2_SERVICES === "") return bindings;
  let parsed: unknown;
  try {
    parsed = JSON.parse(env.R2_SERVICES);
  } catch (cause) {
    throw new FailoverError("INVALID_REQUEST", 'R2_SERVICES is not JSON. Write it as {"NAME":"BINDING"}.', { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new FailoverError("INVALID_REQUEST", "R2_SERVICES must be a JSON object of service name to binding name.");
  }
  for (const [service, binding] of Object.entries(parsed)) bindings.set(service, String(binding));
  return bindings;
}

/** The raw R2 binding of a service. Throws `UNKNOWN_SERVICE`, or names the binding that is missing. */
export function rawBucket(env: FailoverEnv, service: string): R2Bucket {
  const binding = bucketBindings(env).get(service);
  if (binding === undefined) throw new FailoverError("UNKNOWN_SERVICE", `No service is called "${service}".`);
  const bucket = (env as unknown as Record<string, unknown>)[binding];
  if (bucket === undefined || bucket === null) {
    throw new FailoverError(
      "INVALID_REQUEST",
      `The binding ${binding} is missing: add it to r2_buckets in wrangler.toml.`,
    );
  }
  return bucket as R2Bucket;
}

type Namespaces = "SERVICE_DO" | "QUEUE_DO" | "SYSTEM_DO";

/** A namespace of the environment, or an error that names what is missing and what to write. */
export function namespace<N extends Namespaces>(env: FailoverEnv, name: N): FailoverEnv[N] {
  const found = env[name];
  if (found === undefined) {
    throw new FailoverError(
      "INVALID_REQUEST",
      `The binding ${name} is missing: add it to durable_objects.bindings in wrangler.toml.`,
    );
  }
  return found;
}
