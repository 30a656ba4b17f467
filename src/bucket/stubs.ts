import { type FailoverEnv, namespace } from "../shared/env";
import { shardName } from "../shared/keys";
import type { QueueRpc, ServiceRpc, SystemRpc } from "../shared/rpc";

// Seen through the contract: the generated stub types turn `unknown` inside of records into `never`. A new stub for
// every call, because one that has thrown stays broken.

export function serviceStub(env: FailoverEnv, service: string): ServiceRpc {
  const objects = namespace(env, "SERVICE_DO");
  return objects.get(objects.idFromName(service)) as unknown as ServiceRpc;
}

export function queueStub(env: FailoverEnv, service: string, shard: number): QueueRpc {
  const objects = namespace(env, "QUEUE_DO");
  return objects.get(objects.idFromName(shardName(service, shard))) as unknown as QueueRpc;
}

export function systemStub(env: FailoverEnv): SystemRpc {
  const objects = namespace(env, "SYSTEM_DO");
  return objects.get(objects.idFromName("system")) as unknown as SystemRpc;
}

/** Whether an object call may be made again at once: the object has moved or restarted, and is not overloaded. */
export function isRetryable(error: unknown): boolean {
  const { retryable, overloaded } = Object(error) as { retryable?: unknown; overloaded?: unknown };
  return retryable === true && overloaded !== true;
}
