/**
 * The drain: as long as operations are ready and the service's budget allows, claim, apply, complete.
 *
 * It runs inside the alarm handler, and goes on while calls are in flight; what comes in meanwhile is picked up at
 * once. A call that hangs keeps its own slot and blocks no other key.
 */
import type { DrainGrant } from "../../src/shared/protocol";
import { apply, type Claim } from "./apply";
import { claimReady } from "./claim";
import { complete, fail, giveBack } from "./complete";
import { housekeep, isEmpty, sendMessages } from "./housekeeping";
import { PRIORITY_STEP_MS } from "./schedule";
import type { Shard } from "./shard";
import { Signal } from "./signal";

/** A Worker has 6 connections; R2 calls count. */
const MAX_IN_FLIGHT = 6;
/** An alarm may run for 15 min; we leave long before and let the next one go on. */
const MAX_RUN_MS = 60_000;
/** Waiting operations that become ready in one look. */
const PROMOTE_LIMIT = 1_000;
/** Between two rounds of housekeeping while operations are applied. */
const HOUSEKEEPING_MS = 250;
/** A grant is asked for anew after this, however little of it was used. */
const GRANT_LIFE_MS = 5_000;

export class Drain {
  readonly #shard: Shard;
  readonly #signal = new Signal();
  readonly #random: () => number;
  #inFlight = 0;
  #isRunning = false;
  #messages: Promise<void> | null = null;
  #grant: { concurrency: number; left: number; until: number } = { concurrency: 0, left: 0, until: 0 };
  /** Not given back yet: other shards wait for it, and its outcomes are not told. */
  #holdsGrant = false;
  /** The drain neither asks nor tries before this. */
  holdUntil = 0;

  constructor(shard: Shard, random: () => number) {
    this.#shard = shard;
    this.#random = random;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Something has changed: look at once. */
  prompt(): void {
    this.#signal.raise();
  }

  /** Circuits or config have changed: a hold, or a grant, from before means nothing now. */
  release(): void {
    this.holdUntil = 0;
    this.#grant = { concurrency: 0, left: 0, until: 0 };
    this.#signal.raise();
  }

  async run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { store } = this.#shard;
    const stopAt = Date.now() + MAX_RUN_MS;
    let keptAt = 0;
    try {
      for (;;) {
        const now = Date.now();
        store.promote(now, PROMOTE_LIMIT, PRIORITY_STEP_MS);
        const mayClaim = now < stopAt && now >= this.holdUntil && store.hasReady();
        if (now - keptAt >= HOUSEKEEPING_MS || (!mayClaim && this.#inFlight === 0)) {
          housekeep(this.#shard, now);
          this.#sendMessages(now);
          keptAt = now;
        }
        if (mayClaim && this.#inFlight < MAX_IN_FLIGHT && (await this.#claimSome())) continue;
        const isIdle = this.#inFlight === 0 && this.#messages === null;
        if (isIdle && !(now < stopAt && now >= this.holdUntil && store.hasReady())) {
          if (!this.#holdsGrant) return;
          await this.#giveBack();
          continue;
        }
        await this.#shard.steps.at("drain.wait", this.#signal.wait(this.#napMs(now)));
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Beside the drain, not in its way: the ServiceDO may hang. */
  #sendMessages(now: number): void {
    const { link, meta } = this.#shard;
    const at = link.nextMessage(isEmpty(this.#shard), meta.events(1).length > 0, now);
    // Before its time nothing would be sent, and the drain would look again at once, for ever: no clock moves meanwhile.
    if (at === null || at > now) return;
    this.#messages ??= sendMessages(this.#shard, now).finally(() => {
      this.#messages = null;
      this.#signal.raise();
    });
  }

  /** Starts what the grant allows. False: nothing could be started now. */
  async #claimSome(): Promise<boolean> {
    const now = Date.now();
    if (this.#grant.left <= 0 || now >= this.#grant.until) {
      const ready = this.#shard.store.held.operations;
      const grant: DrainGrant = await this.#shard.steps.at("claim.grant", this.#shard.link.grant(ready));
      this.#holdsGrant = grant.concurrency > 0;
      if (grant.concurrency === 0) {
        this.holdUntil = Date.now() + Math.max(1, grant.retryMs);
        return false;
      }
      this.#grant = { concurrency: grant.concurrency, left: grant.operations, until: Date.now() + GRANT_LIFE_MS };
    }
    const room = Math.min(MAX_IN_FLIGHT, this.#grant.concurrency) - this.#inFlight;
    const limit = Math.min(room, this.#grant.left, this.#shard.link.config.queue.batch_size);
    if (limit <= 0) return false;
    const claims = claimReady(this.#shard, limit);
    this.#grant.left -= claims.length;
    for (const claim of claims) this.#start(claim);
    return true;
  }

  /** To ask with nothing ready is to give back: without it the next shard waits until the grant runs out. */
  async #giveBack(): Promise<void> {
    this.#holdsGrant = false;
    this.#grant = { concurrency: 0, left: 0, until: 0 };
    await this.#shard.steps.at("claim.grant", this.#shard.link.grant(0));
  }

  #start(claim: Claim): void {
    this.#inFlight += 1;
    apply(this.#shard, claim)
      .then(
        (applied) => complete(this.#shard, claim, applied),
        (error: unknown) => {
          fail(this.#shard, claim, error, this.#random);
          // After a failure the service is asked before anything else is tried.
          this.#grant.left = 0;
        },
      )
      .catch((error: unknown) => {
        giveBack(this.#shard, claim);
        console.error(
          JSON.stringify({ level: "error", at: "drain", operation_id: claim.row.operation_id, error: String(error) }),
        );
      })
      .finally(() => {
        this.#inFlight -= 1;
        this.#signal.raise();
      });
  }

  #napMs(now: number): number {
    const due = this.#shard.store.nextDue() ?? Number.POSITIVE_INFINITY;
    const wake = Math.min(due, this.holdUntil > now ? this.holdUntil : Number.POSITIVE_INFINITY, now + 1_000);
    return Math.max(1, wake - now);
  }
}
