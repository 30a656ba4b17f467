/** Calls to R2 that were given up, and may yet take effect, when the queue has not taken the write over. */
import { waitUntil } from "cloudflare:workers";
import { FailoverError } from "../shared/errors";
import type { DirectCall } from "../shared/protocol";
import { directCall, type FailedCall } from "./direct-call";
import { quarantine } from "./isolate-state";
import type { Session } from "./session";
import { askShard } from "./shard-call";

/** Whether the call may yet take effect. */
export function mayLand(failed: FailedCall | undefined): boolean {
  return failed !== undefined && failed.fenceAt !== null;
}

/** Keeps this isolate's direct writes off the key until the call can land no more. */
export function keepOff({ state }: Session, key: string, failed: FailedCall | undefined): void {
  if (failed !== undefined && failed.fenceAt !== null) quarantine(state, key, failed.fenceAt, Date.now());
}

/** Likewise the shard's drain, if the shard can be told. `fingerprint`: of what the call carried, null where unknown. */
export function tellShard(
  session: Session,
  key: string,
  failed: FailedCall | undefined,
  fingerprint: () => Promise<string | null>,
): void {
  if (failed === undefined || failed.fenceAt === null) return;
  const tell = async () => {
    const print = await fingerprint();
    const call: DirectCall = directCall(failed, Date.now());
    await askShard(session, key, (shard) => shard.quarantine(key, print, call));
  };
  waitUntil(tell().catch(() => undefined));
}

/** The error, and that the write may have taken effect all the same. */
export function withUnknownOutcome(error: FailoverError): FailoverError {
  if (error.outcomeUnknown) return error;
  const { code, message, cause, retryAfter } = error;
  return new FailoverError(code, message, {
    cause,
    outcomeUnknown: true,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });
}
