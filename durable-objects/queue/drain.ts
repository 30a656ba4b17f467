/**
 * The drain: as long as operations are ready and the service's budget allows, claim, apply, complete.
 *
 * It runs inside the alarm handler, and goes on while calls are in flight; what comes in meanwhile is picked up at
 * once. A call that hangs keeps its own slot and blocks no other key.
 *
 * A commit costs about as much as a small put. So as many operations are claimed ahead as are in flight: the end of one
 * call starts the next from memory, and what has ended is stored together with the next claims.
 */
import type { DrainGrant } from "../../src/shared/protocol";
import { abortInR2 } from "./abort-in-r2";
import { apply } from "./apply";
import { claimReady, unclaim } from "./claim";
import type { Claim } from "./claimed";
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
/** What has ended is stored after this at the latest. */
const STORE_WITHIN_MS = 50;
/** A claim that finds no free slot for this long is given back: its call is feared from the claim on. */
const CLAIM_LIFE_MS = 1_000;

interface ClaimAhead {
  readonly claim: Claim;
  readonly until: number;
}

export class Drain {
  readonly #shard: Shard;
  readonly #signal = new Signal();
  readonly #random: () => number;
  #inFlight = 0;
  readonly #ahead: ClaimAhead[] = [];
  /** How claims have ended, in the order in which it is to be stored. */
  readonly #ended: { readonly claim: Claim; readonly store: () => void }[] = [];
  /** Whether a call has ended since the last claim. */
  #hasMoved = false;
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
    this.#unclaim(Number.POSITIVE_INFINITY);
    this.#signal.raise();
  }

  async run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const { store, uploads } = this.#shard;
    const stopAt = Date.now() + MAX_RUN_MS;
    let keptAt = 0;
    try {
      for (;;) {
        const now = Date.now();
        this.#unclaim(now);
        this.#storeEnded();
        // Even without a row it would begin a write.
        if ((store.nextDue() ?? Number.POSITIVE_INFINITY) <= now) store.promote(now, PROMOTE_LIMIT, PRIORITY_STEP_MS);
        const hasWork = store.hasReady() || uploads.dueAbort(now) !== null;
        const mayClaim = now < stopAt && now >= this.holdUntil && hasWork;
        if (now - keptAt >= HOUSEKEEPING_MS || (!mayClaim && this.#isAtRest)) {
          housekeep(this.#shard, now);
          this.#sendMessages(now);
          keptAt = now;
        }
        const hasRoom = this.#ahead.length === 0 && (this.#hasMoved || this.#inFlight < MAX_IN_FLIGHT);
        if (mayClaim && hasRoom && (await this.#claimSome())) continue;
        const isIdle = this.#isAtRest && this.#messages === null;
        if (isIdle && !(now < stopAt && now >= this.holdUntil && hasWork)) {
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

  get #isAtRest(): boolean {
    return this.#inFlight === 0 && this.#ahead.length === 0 && this.#ended.length === 0;
  }

  get #slots(): number {
    return Math.min(MAX_IN_FLIGHT, this.#grant.concurrency);
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

  /**
   * Claims and starts what the grant allows. False: nothing could be claimed now. With every slot taken it claims only
   * while calls end: behind calls that hang nothing is held.
   */
  async #claimSome(): Promise<boolean> {
    const now = Date.now();
    if (this.#grant.left <= 0 || now >= this.#grant.until) {
      // Aborts alone ask for as much as one operation.
      const ready = Math.max(1, this.#shard.store.held.operations);
      const grant: DrainGrant = await this.#shard.steps.at("claim.grant", this.#shard.link.grant(ready));
      this.#holdsGrant = grant.concurrency > 0;
      if (grant.concurrency === 0) {
        this.holdUntil = Date.now() + Math.max(1, grant.retryMs);
        return false;
      }
      this.#grant = { concurrency: grant.concurrency, left: grant.operations, until: Date.now() + GRANT_LIFE_MS };
    }
    const room = this.#hasMoved || this.#inFlight < this.#slots ? 2 * this.#slots - this.#inFlight : 0;
    this.#hasMoved = false;
    const limit = Math.min(room, this.#grant.left, this.#shard.link.config.queue.batch_size);
    if (limit <= 0) return false;
    const claims = claimReady(this.#shard, limit);
    this.#grant.left -= claims.length;
    for (const claim of claims) this.#ahead.push({ claim, until: now + CLAIM_LIFE_MS });
    this.#startNext();
    if (claims.length === 0 && this.#inFlight < this.#slots) this.#abortOne(now);
    return true;
  }

  /** An upload that R2 is yet to forget. Only when no operation is ready: it is a courtesy. */
  #abortOne(now: number): void {
    const upload = this.#shard.uploads.dueAbort(now);
    if (upload === null) return;
    this.#grant.left -= 1;
    this.#inFlight += 1;
    abortInR2(this.#shard, upload, now, this.#random).finally(() => {
      this.#inFlight -= 1;
      this.#signal.raise();
    });
  }

  /** To ask with nothing ready is to give back: without it the next shard waits until the grant runs out. */
  async #giveBack(): Promise<void> {
    this.#holdsGrant = false;
    this.#grant = { concurrency: 0, left: 0, until: 0 };
    await this.#shard.steps.at("claim.grant", this.#shard.link.grant(0));
  }

  #startNext(): void {
    while (this.#inFlight < this.#slots) {
      const next = this.#ahead.shift();
      if (next === undefined) return;
      this.#start(next.claim);
    }
  }

  #start(claim: Claim): void {
    this.#inFlight += 1;
    apply(this.#shard, claim).then(
      (applied) => this.#end(claim, () => complete(this.#shard, claim, applied)),
      (error: unknown) => {
        // After a failure the service is asked before anything else is tried.
        this.#grant.left = 0;
        this.#unclaim(Number.POSITIVE_INFINITY);
        this.#end(claim, () => fail(this.#shard, claim, error, this.#random));
      },
    );
  }

  /** Starts the next. The end is stored when there is more to store, or before long. */
  #end(claim: Claim, store: () => void): void {
    this.#inFlight -= 1;
    this.#hasMoved = true;
    this.#ended.push({ claim, store });
    this.#startNext();
    if (this.#ahead.length === 0) this.#signal.raise();
    else if (this.#ended.length === 1) setTimeout(() => this.#signal.raise(), STORE_WITHIN_MS);
  }

  #storeEnded(): void {
    for (const { claim, store } of this.#ended.splice(0)) {
      try {
        store();
      } catch (error) {
        giveBack(this.#shard, claim);
        console.error(
          JSON.stringify({ level: "error", at: "drain", operation_id: claim.row.operation_id, error: String(error) }),
        );
      }
    }
  }

  /** Gives back the claims ahead whose time ends by `now`. */
  #unclaim(now: number): void {
    while (this.#ahead[0] !== undefined && this.#ahead[0].until <= now) {
      const claim = this.#ahead.shift()?.claim;
      if (claim !== undefined) this.#ended.push({ claim, store: () => unclaim(this.#shard, claim, Date.now()) });
    }
  }

  #napMs(now: number): number {
    const due = this.#shard.store.nextDue() ?? Number.POSITIVE_INFINITY;
    const wake = Math.min(due, this.holdUntil > now ? this.holdUntil : Number.POSITIVE_INFINITY, now + 1_000);
    return Math.max(1, wake - now);
  }
}
