import type { EventBatch, FeedTaken, WatchedState } from "../../src/shared/event-batch";
import type { LiveState } from "../../src/shared/frames";
import { within } from "../../src/shared/within";
import { fingerprint, isMoving } from "../shared/live/frames";
import type { ServiceStore } from "./service-store";

const EVENTS_AT_ONCE = 200;
const CALL_TIMEOUT_MS = 5_000;
/** Who has acted by hand looks at the feed next. */
const ARRIVAL_WAIT_MS = 250;
const STATE_INTERVAL_MS = 500;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

interface Dependencies {
  readonly service: string;
  readonly epoch: string;
  readonly store: Pick<ServiceStore, "log" | "cursors">;
  readonly take: (batch: EventBatch) => Promise<FeedTaken>;
  readonly state: (now: number) => WatchedState;
  /** Keeps the object alive for a call; nobody waits for it. */
  readonly background: (work: Promise<void>) => void;
  /** A call has failed: `dueAt` says when the next is to be made. */
  readonly failed: () => void;
  readonly random: () => number;
}

/**
 * Brings a service's events to the system feed. The event table itself is the outbox, with a stored cursor: what is
 * after it is sent, in order, one call at a time, until SystemDO has said that it has it. After a call that fails or
 * hangs it is sent again, later and later; what has arrived all the same is recognised there by its number. The state of
 * the service goes along, and while somebody watches it there, its changes go without events too.
 */
export class FeedLink {
  #taken: number;
  #sending: Promise<void> | null = null;
  #failures = 0;
  #retryAt = 0;
  #watchedUntil = 0;
  #isTimed = false;
  #state = { fingerprint: "", sentAt: 0 };

  constructor(private readonly deps: Dependencies) {
    this.#taken = deps.store.cursors.load("feed");
  }

  /** When to call `send` again; null: nothing is to be sent, or it is on its way. */
  get dueAt(): number | null {
    return this.#sending !== null || !this.#hasEvents ? null : this.#retryAt;
  }

  /** Sends what there is to send, unless that is on its way, or has failed just now. */
  send(now: number): void {
    if (this.#sending !== null || now < this.#retryAt || !(this.#hasEvents || this.#hasState(now))) return;
    this.#sending = this.#sendAll();
    this.deps.background(this.#sending);
  }

  /** Somebody is there who wants to know of changes that are no events. */
  watch(ms: number, now: number): WatchedState {
    this.#watchedUntil = Math.max(this.#watchedUntil, now + ms);
    return this.deps.state(now);
  }

  /** Until what is being sent has arrived or failed, and not for long. Never rejects. */
  async arrived(): Promise<void> {
    if (this.#sending !== null) await within(this.#sending, ARRIVAL_WAIT_MS, noAnswer).catch(() => undefined);
  }

  get #hasEvents(): boolean {
    return this.#taken < this.deps.store.log.head;
  }

  /** A few a second are enough; what climbs by the clock alone is looked at again by itself. */
  #hasState(now: number): boolean {
    if (now >= this.#watchedUntil || this.#isTimed) return false;
    const waitMs = this.#state.sentAt + STATE_INTERVAL_MS - now;
    const seen = liveState(this.deps.state(now));
    const isNews = fingerprint(seen) !== this.#state.fingerprint;
    if (isNews && waitMs <= 0) return true;
    if (isNews || isMoving(seen)) this.#lookAgainIn(Math.max(waitMs, STATE_INTERVAL_MS / 2));
    return false;
  }

  #lookAgainIn(ms: number): void {
    this.#isTimed = true;
    setTimeout(() => {
      this.#isTimed = false;
      this.send(Date.now());
    }, ms);
  }

  async #sendAll(): Promise<void> {
    try {
      do await this.#sendSome();
      while (this.#hasEvents);
      this.#sending = null;
    } catch (error) {
      this.#sending = null;
      this.#backOff(error);
      this.deps.failed();
    }
  }

  async #sendSome(): Promise<void> {
    const { service, epoch, store, take } = this.deps;
    const now = Date.now();
    const after = this.#taken;
    const events = store.log.after(after, EVENTS_AT_ONCE);
    const state = this.deps.state(now);
    this.#state = { fingerprint: fingerprint(liveState(state)), sentAt: now };
    const batch = { source: service, epoch, after, events, state };
    const { taken, watchMs } = await within(take(batch), CALL_TIMEOUT_MS, noAnswer);
    // A step back is right: SystemDO has lost what it had. To stand still would be for ever.
    if (taken === after && events.length > 0) throw new Error("SystemDO has taken none of the events");
    if (watchMs > 0) this.#watchedUntil = Math.max(this.#watchedUntil, Date.now() + watchMs);
    this.#failures = 0;
    if (taken === after) return;
    this.#taken = Math.min(taken, store.log.head);
    store.cursors.save("feed", this.#taken);
  }

  #backOff(error: unknown): void {
    const wait = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#retryAt = Date.now() + wait * (0.5 + this.deps.random() / 2);
    const message = "events were not delivered to the system feed; they will be sent again";
    console.warn(JSON.stringify({ level: "warn", message, service: this.deps.service, error: String(error) }));
  }
}

function liveState({ service, queue }: WatchedState): LiveState {
  return { services: [service], queue };
}

const noAnswer = () => new Error(`no answer from SystemDO within ${CALL_TIMEOUT_MS} ms`);
