/**
 * All that our bucket may do otherwise than a native one. What is not said here is a bug.
 *
 * - Not compared (`observe.ts`): `uploaded` and `version`, which no two writes share; `storageClass`, which local R2 leaves
 *   empty; cursors and upload ids, which are ours. Conditions on dates name dates far from every write (`spec.ts`).
 * - Refusals: those below, and no others. They are counted, and may be no more than the shares below.
 * - An outcome that an error calls unknown leaves both states possible, until the key is written again (`native.ts`) or the
 *   upload says more (`upload-twin.ts`). So does a refused delete of several keys for each of them.
 * - An isolate that was not told of a queued write within its lease may write past it. Until R2 can be asked, reads may
 *   answer either (`NativeTwin.overtake`). A bounded read in another isolate is asked only after a lease (`run.ts`).
 */
import type { Observation } from "./observe";
import type { Call } from "./spec";

type Method = Call["do"];

/** By code: which calls may be refused, each for a reason of its own (API.md, §2 and DESIGN §5). */
const REFUSALS: Readonly<Record<string, readonly Method[]>> = {
  // R2 cannot be read and the queue does not know; or R2 did not take it, and the queue died or cannot go on with it.
  SERVICE_UNAVAILABLE: ["put", "get", "head", "delete", "list", "begin", "part", "complete", "abort"],
  // The condition needs what R2 holds.
  CONDITION_UNVERIFIABLE: ["put"],
};

/** R2 cut a body short after its properties had been passed on: the reader has an error, and never a clean end. */
const BREAKS: readonly Method[] = ["get"];

/** The shares of calls that may be refused. */
export const MOST_REFUSED: readonly { readonly methods: readonly Method[]; readonly share: number }[] = [
  { methods: ["put", "delete"], share: 0.1 },
  { methods: ["begin", "part", "complete", "abort"], share: 0.15 },
  { methods: ["get", "head", "list"], share: 0.3 },
];

/** The name of a refusal, null for an answer. Throws on a refusal that is not allowed. */
export function refusalOf(method: Method, told: Observation): string | null {
  switch (told.kind) {
    case "answered":
    case "threw":
      return null;
    case "broke":
      if (BREAKS.includes(method)) return "a broken body";
      break;
    case "refused":
      if (REFUSALS[told.code]?.includes(method)) return told.code;
      break;
  }
  throw new Error(`${method} must not be refused so: ${JSON.stringify(told)}`);
}

/** Whether the native bucket broke down over a range of nothing that ours has refused. */
export function isRangeOfNothing(native: Observation, told: Observation): boolean {
  if (native.kind !== "threw" || told.kind !== "threw") return false;
  return native.error.endsWith("get: Unspecified error (0)") && told.error.endsWith("(10039)");
}
