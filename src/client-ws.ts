/**
 * Live status for browsers and Workers: a WebSocket that stays. It comes back by itself after whatever ended it, and goes
 * on where it was: every event is handed over once, in order, as long as the server keeps it.
 */
import { type AckFrame, HEARTBEAT_MS, type LiveState, type StatusFrame } from "./shared/frames";
import type { EventRecord } from "./shared/records";

export type { LiveState, StatusFrame } from "./shared/frames";
export type { EventRecord, QueueRecord, ServiceRecord } from "./shared/records";

/** What is needed of a WebSocket. One that a Worker got from `fetch` must have been accepted. */
export interface SocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close" | "error", listener: () => void): void;
}

export interface StatusSubscriptionOptions {
  /** Of the call: `https://…/health/ws`. */
  readonly url: string | URL;
  /** Only this service's events, by its own numbers. Default: all services'. */
  readonly service?: string;
  /** Where to go on: a `since` of an earlier subscription of the same kind. Default: at what happens next. */
  readonly since?: string | null;
  /** With a token reasons and data are shown. Asked for at each connection; its characters must be those of an HTTP token. */
  readonly token?: string | (() => string | Promise<string>);
  /** Each event, once, in order, with the place after it. */
  readonly onEvent?: (event: EventRecord, since: string) => void;
  /**
   * The state: at each connection, and whenever it changes. `reset`: what happened between the last event and now is not
   * known event by event.
   */
  readonly onState?: (state: LiveState, cause: "snapshot" | "reset" | "state") => void;
  /** `open`: the server has answered. `waiting`: until the next try. */
  readonly onConnection?: (connection: "connecting" | "open" | "waiting" | "closed") => void;
  /** Default: `new WebSocket`. A Worker may connect through a service binding instead. */
  readonly connect?: (url: string, protocols: string[]) => SocketLike | Promise<SocketLike>;
  /** 0-1, for the waiting times between tries. */
  readonly random?: () => number;
}

export interface StatusSubscription {
  /** The place after the last event that was handed over; null before the first answer. */
  readonly since: string | null;
  close(): void;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;
/** A connection that lasted so long was a good one: the next wait is a short one again. */
const GOOD_MS = 5_000;
/** Until the first frame. */
const ANSWER_MS = 15_000;
const CHECK_MS = 1_000;
/** Silence beyond a heartbeat is asked about, and then taken for the end. */
const PING_AFTER_MS = HEARTBEAT_MS * 1.1;
const STALE_AFTER_MS = HEARTBEAT_MS * 1.5;
/** Acknowledged so often, or when so much has come, but not more often than the server bears. */
const ACK_MS = 2_000;
const ACK_BYTES = 128 * 1024;
const SHORTEST_ACK_MS = 100;

/** Subscribes, and stays subscribed until `close`. Never throws for what happens on the way. */
export function subscribeStatus(options: StatusSubscriptionOptions): StatusSubscription {
  return new Subscription(options);
}

interface Place {
  readonly epoch: string;
  readonly seq: number;
}

class Subscription implements StatusSubscription {
  #since: string | null;
  #place: Place | null = null;
  #isClosed = false;
  #tries = 0;
  #connection: Connection | null = null;
  #retry: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly options: StatusSubscriptionOptions) {
    this.#since = options.since ?? null;
    void this.#connect();
  }

  get since(): string | null {
    return this.#since;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#connection?.end();
    this.options.onConnection?.("closed");
  }

  async #connect(): Promise<void> {
    const { options } = this;
    options.onConnection?.("connecting");
    const startedAt = Date.now();
    const ended = () => this.#ended(startedAt);
    try {
      const token = typeof options.token === "function" ? await options.token() : options.token;
      const protocols = ["r2-failover", ...(token === undefined ? [] : [`bearer.${token}`])];
      const connect = options.connect ?? ((url, offered) => new WebSocket(url, offered));
      const socket = await connect(this.#url(), protocols);
      if (this.#isClosed) socket.close(1000);
      else this.#connection = new Connection(socket, (frame) => this.#take(frame), ended);
    } catch {
      ended();
    }
  }

  #url(): string {
    const { url, service } = this.options;
    const target = new URL(url);
    target.protocol = target.protocol.replace(/^http/, "ws");
    if (service !== undefined) target.searchParams.set("service", service);
    if (this.#since !== null) target.searchParams.set("since", this.#since);
    return target.href;
  }

  #ended(startedAt: number): void {
    this.#connection = null;
    if (this.#isClosed) return;
    const { random = Math.random, onConnection } = this.options;
    if (Date.now() - startedAt > GOOD_MS) this.#tries = 0;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#tries);
    this.#tries += 1;
    onConnection?.("waiting");
    // Jittered, or all clients of a server come back to it at the same time.
    this.#retry = setTimeout(() => void this.#connect(), wait * (0.5 + random() / 2));
  }

  /** The number up to which everything has been handed over; null: the stream is not whole, and is begun anew. */
  #take(frame: StatusFrame): number | null {
    const { onEvent, onState, onConnection } = this.options;
    switch (frame.type) {
      case "snapshot":
      case "reset":
        this.#moveTo(frame);
        onConnection?.("open");
        onState?.(frame, frame.type);
        break;
      case "event": {
        if (this.#place === null || frame.epoch !== this.#place.epoch || frame.seq > this.#place.seq + 1) return null;
        // It came twice.
        if (frame.seq <= this.#place.seq) break;
        onEvent?.(frame.event, this.#moveTo(frame));
        break;
      }
      case "state":
        onState?.(frame, "state");
        break;
      case "heartbeat":
        break;
    }
    return this.#place?.seq ?? null;
  }

  #moveTo({ epoch, seq }: Place): string {
    this.#place = { epoch, seq };
    this.#since = `${epoch}.${seq}`;
    return this.#since;
  }
}

/** One WebSocket from its first frame to its end, which is told once. */
class Connection {
  #isEnded = false;
  #heardAt = Date.now();
  #hasAnswered = false;
  #hasPinged = false;
  #seq = 0;
  #unacked = 0;
  #ackedAt = 0;
  #ackTimer: ReturnType<typeof setTimeout> | null = null;
  readonly #watch: ReturnType<typeof setInterval>;

  constructor(
    private readonly socket: SocketLike,
    private readonly take: (frame: StatusFrame) => number | null,
    private readonly ended: () => void,
  ) {
    socket.addEventListener("message", ({ data }) => this.#hear(data));
    socket.addEventListener("close", () => this.end());
    socket.addEventListener("error", () => this.end());
    this.#watch = setInterval(() => this.#check(), CHECK_MS);
  }

  /** Lets go of the socket, whatever state it is in. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearInterval(this.#watch);
    this.#stopAckTimer();
    try {
      this.socket.close(1000);
    } catch {
      // It has ended already, or never began.
    }
    this.ended();
  }

  #hear(data: unknown): void {
    if (this.#isEnded) return;
    this.#heardAt = Date.now();
    this.#hasPinged = false;
    if (typeof data !== "string" || data === "pong") return;
    const frame = readFrame(data);
    if (frame === null) return;
    const seq = this.take(frame);
    if (seq === null) {
      this.end();
      return;
    }
    this.#seq = seq;
    this.#unacked += data.length;
    // At once, so that the server knows that it may count on it.
    if (!this.#hasAnswered) this.#ack();
    else if (frame.type !== "heartbeat") this.#ackSoon();
    this.#hasAnswered = true;
  }

  #ackSoon(): void {
    const since = Date.now() - this.#ackedAt;
    if (this.#unacked >= ACK_BYTES && since >= SHORTEST_ACK_MS) this.#ack();
    else this.#ackTimer ??= setTimeout(() => this.#ack(), this.#unacked >= ACK_BYTES ? SHORTEST_ACK_MS : ACK_MS);
  }

  #ack(): void {
    this.#stopAckTimer();
    this.#unacked = 0;
    this.#ackedAt = Date.now();
    this.#say(JSON.stringify({ type: "ack", seq: this.#seq } satisfies AckFrame));
  }

  #stopAckTimer(): void {
    if (this.#ackTimer !== null) clearTimeout(this.#ackTimer);
    this.#ackTimer = null;
  }

  #check(): void {
    const silence = Date.now() - this.#heardAt;
    if (silence > (this.#hasAnswered ? STALE_AFTER_MS : ANSWER_MS)) this.end();
    else if (silence > PING_AFTER_MS && !this.#hasPinged) {
      this.#hasPinged = true;
      this.#say("ping");
    }
  }

  #say(text: string): void {
    try {
      this.socket.send(text);
    } catch {
      this.end();
    }
  }
}

/** `null`: nothing that this release knows. */
function readFrame(text: string): StatusFrame | null {
  try {
    const frame: unknown = JSON.parse(text);
    return isFrame(frame) ? frame : null;
  } catch {
    return null;
  }
}

const TYPES: readonly unknown[] = ["snapshot", "reset", "event", "state", "heartbeat"] satisfies StatusFrame["type"][];

function isFrame(value: unknown): value is StatusFrame {
  return typeof value === "object" && value !== null && "type" in value && TYPES.includes(value.type);
}
