/** Polls the system's status in the background, tells what changes, and lets the drill wait for a state. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallCounts, Client, Status } from "./client.ts";

const POLL_MS = 100;

export class Watch {
  #client: Client | null = null;
  #last: Status | null = null;
  #stopped = false;
  /** Calls while open, summed over the server's lives: its counters begin at 0 in each. */
  readonly #calls = new Map<string, number>();
  #callsOfThisLife: CallCounts = {};
  readonly #onStatus: (status: Status, before: Status | null) => void;
  readonly #loop: Promise<void>;

  constructor(onStatus: (status: Status, before: Status | null) => void) {
    this.#onStatus = onStatus;
    this.#loop = this.#poll();
  }

  /** From now on asks this server; null: none is there. */
  attach(client: Client | null): void {
    this.#client = client;
    this.#callsOfThisLife = {};
  }

  /** The first status that fits, from now on. Throws after `withinMs`, saying what the status was. */
  async until(what: string, fits: (status: Status) => boolean, withinMs: number): Promise<Status> {
    const deadline = Date.now() + withinMs;
    this.#last = null;
    for (;;) {
      const status = this.#last as Status | null;
      if (status !== null && fits(status)) return status;
      if (Date.now() > deadline) {
        throw new Error(`Not ${what} within ${withinMs / 1_000} s. The status is ${JSON.stringify(status)}`);
      }
      await sleep(POLL_MS / 4);
    }
  }

  /** Calls that met R2 while its circuit was open, as `who class` → count. */
  callsWhileOpen(): ReadonlyMap<string, number> {
    return this.#calls;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }

  async #poll(): Promise<void> {
    let before: Status | null = null;
    while (!this.#stopped) {
      const client = this.#client;
      // A server that is being killed does not answer; the next poll finds its successor.
      const status = client === null ? null : await client.status().catch(() => null);
      if (status !== null && client === this.#client) {
        this.#addCalls(status.callsWhileOpen);
        this.#onStatus(status, before);
        this.#last = before = status;
      }
      await sleep(POLL_MS);
    }
  }

  #addCalls(counts: CallCounts): void {
    for (const [who, byClass] of Object.entries(counts)) {
      for (const [operationClass, count] of Object.entries(byClass)) {
        const known = this.#callsOfThisLife[who]?.[operationClass] ?? 0;
        const name = `${who} ${operationClass}`;
        // A counter that fell began again: its object was evicted.
        this.#calls.set(name, (this.#calls.get(name) ?? 0) + (count >= known ? count - known : count));
      }
    }
    this.#callsOfThisLife = counts;
  }
}
