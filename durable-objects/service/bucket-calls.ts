/** How many calls met R2, by who made them: in all, and while the circuit let nothing through. Pure. */
import { type BucketMethod, methodClass, type OperationClass } from "../../src/shared/protocol";
import type { ServiceOverview } from "../../src/shared/rpc";

export type CallSource = keyof ServiceOverview["bucketCalls"];
type Counts = Record<CallSource, Record<OperationClass, number>>;

export interface BucketCalls {
  readonly all: Counts;
  readonly whileOpen: Counts;
}

const zero = (): Record<OperationClass, number> => ({ read: 0, write: 0 });
const none = (): Counts => ({ isolates: zero(), drain: zero(), probes: zero() });

export function createBucketCalls(): BucketCalls {
  return { all: none(), whileOpen: none() };
}

/**
 * `isOpen`: whether the caller knew the class's circuit as open or half-open when it made the calls. Calls from before
 * it heard of it are no calls while open: nobody could have held them back.
 */
export function countCalls(
  calls: BucketCalls,
  source: CallSource,
  made: Readonly<Partial<Record<BucketMethod, number>>>,
  isOpen: (operationClass: OperationClass) => boolean,
): void {
  for (const [method, n] of Object.entries(made) as [BucketMethod, number][]) {
    const operationClass = methodClass(method);
    calls.all[source][operationClass] += n;
    if (isOpen(operationClass)) calls.whileOpen[source][operationClass] += n;
  }
}
