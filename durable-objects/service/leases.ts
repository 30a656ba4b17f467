/** What the object knows of those whom it has given a snapshot: who is active, what they were told, until when they trust it. */
import { type CircuitView, OPERATION_CLASSES, type OperationClass } from "../../src/shared/protocol";
import { isRejecting } from "./status";

type Told = Readonly<Record<OperationClass, { readonly generation: number; readonly isRejecting: boolean }>>;

interface Holder {
  readonly seenAt: number;
  readonly isShard: boolean;
  readonly told: Told;
}

const PRUNE_EVERY_MS = 1_000;
/** Longer than two leases in an incident: a reporter that pauses is not a stranger at once. */
const SHORTEST_MEMORY_MS = 10_000;

export class Leases {
  readonly #holders = new Map<string, Holder>();
  #active = 0;
  #prunedAt = 0;
  #leaseMs = 0;
  #trustedUntil: number;

  constructor(trustedUntil: number) {
    this.#trustedUntil = trustedUntil;
  }

  /**
   * Until when somebody may still act on a snapshot that was handed out so far. An isolate goes on with a snapshot past
   * its lease while it cannot refresh it, but never past the cap: so it is the cap that counts.
   */
  get trustedUntil(): number {
    return this.#trustedUntil;
  }

  handedOut(now: number, leaseMs: number, leaseCapMs: number): void {
    this.#leaseMs = leaseMs;
    this.#trustedUntil = Math.max(this.#trustedUntil, now + leaseCapMs);
  }

  /** Takes down what a reporter learns from the answer that it gets now. */
  tell(reporter: string, circuits: Readonly<Record<OperationClass, CircuitView>>, now: number): void {
    const isShard = isShardReporter(reporter);
    if (!isShard && !this.#holders.has(reporter)) this.#active += 1;
    const [read, write] = OPERATION_CLASSES;
    this.#holders.set(reporter, {
      seenAt: now,
      isShard,
      told: { read: toldOf(circuits[read]), write: toldOf(circuits[write]) },
    });
  }

  /** What the reporter was told last, before it did what it reports now. Null: nothing that is remembered. */
  toldTo(reporter: string): Told | null {
    return this.#holders.get(reporter)?.told ?? null;
  }

  /** Isolates that reported within two leases, of the length that they last got. */
  activeIsolates(now: number): number {
    if (now - this.#prunedAt < PRUNE_EVERY_MS) return this.#active;
    this.#prunedAt = now;
    this.#active = 0;
    const forgetAfterMs = Math.max(SHORTEST_MEMORY_MS, 2 * this.#leaseMs);
    for (const [reporter, holder] of this.#holders) {
      if (now - holder.seenAt > forgetAfterMs) this.#holders.delete(reporter);
      else if (!holder.isShard) this.#active += 1;
    }
    return this.#active;
  }
}

export function isShardReporter(reporter: string): boolean {
  return reporter.startsWith("shard:");
}

function toldOf({ state, generation }: CircuitView): Told[OperationClass] {
  return { generation, isRejecting: isRejecting(state) };
}
