import { HEARTBEAT_MS, type LiveState } from "../../../src/shared/frames";
import { canResume, type Since } from "../../../src/shared/since";
import type { SubscriberView } from "../../../src/shared/subscription";
import type { Cursors } from "../cursors";
import type { EventLog } from "../event-log";
import { readAttachment } from "./attachment";
import { readMessage } from "./client-message";
import { acknowledged, createFlow, type Flow, heard, isTooFarBehind, MAX_BEHIND_BYTES, sent } from "./flow";
import { encode, fingerprint, isMoving } from "./frames";

/** The platform takes 32,768 on one object. */
const MAX_SUBSCRIBERS = 30_000;
/** Frames that are sent in the turn in which something happened. What is more goes out bit by bit, calls in between. */
const FRAMES_AT_ONCE = 20_000;
const FRAMES_A_TURN = 2_000;
/** Missed events that one subscriber gets in one turn. */
const REPLAYED_A_TURN = 200;
const STATE_INTERVAL_MS = 500;
/** What a client may send in a second, for good reason. */
const MESSAGES_A_SECOND = 20;
const TOO_FAR = "too far behind: connect again";

interface Subscriber {
  readonly socket: WebSocket;
  readonly view: SubscriberView;
  readonly flow: Flow;
  /** The last event that it was sent, while it is behind the others; null: it is where they are. */
  replayedTo: number | null;
  /** Messages that it has sent in this second. */
  messages: { readonly second: number; count: number };
}

interface Dependencies {
  readonly log: EventLog;
  readonly epoch: () => string;
  readonly state: (now: number) => LiveState;
  /** Keeps the last event that those who are up to date were sent: what comes after it is due to them. */
  readonly cursors: Cursors;
}

/**
 * The subscribers of one object, over hibernating WebSockets. All who are up to date are at the same event, `#published`,
 * and get the next ones in the turn that records them; that number is stored with the events, so that no crash and no
 * hibernation leaves one out or sends one twice. Who resumes further back is sent what it missed, in turns, until it has
 * caught up. A socket that takes no more is closed; sending never waits, so it keeps nobody else waiting.
 */
export class Subscribers {
  readonly #all = new Map<WebSocket, Subscriber>();
  #published: number;
  #isWorking = false;
  #beatAt = 0;
  #state = { fingerprint: "", sentAt: 0, isTimed: false };

  constructor(
    private readonly ctx: DurableObjectState,
    private readonly deps: Dependencies,
  ) {
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    this.#published = deps.cursors.load("subscribers");
    for (const socket of ctx.getWebSockets()) this.#wake(socket);
  }

  get count(): number {
    return this.#all.size;
  }

  /** When a heartbeat is due; null: nobody would hear it. */
  get heartbeatAt(): number | null {
    return this.#all.size === 0 ? null : this.#beatAt + HEARTBEAT_MS;
  }

  // ── subscribers come and go ───────────────────────────────────────────────────────────────────────────────────

  /** Takes a subscriber in. Null: there are too many. */
  accept(view: SubscriberView, since: Since | null, protocol: string | null, now: number): Response | null {
    if (this.#all.size >= MAX_SUBSCRIBERS) return null;
    const { log, epoch, state } = this.deps;
    this.publish(now);
    if (this.#all.size === 0) this.#setPublished(log.head);
    const held = { epoch: epoch(), head: log.head, oldest: log.oldest };
    const resumesAt = since !== null && canResume(since, held) ? since.seq : null;
    const seq = resumesAt ?? this.#published;
    const { 0: client, 1: socket } = new WebSocketPair();
    this.ctx.acceptWebSocket(socket);
    const subscriber = newSubscriber(socket, view, false, seq === this.#published ? null : seq);
    this.#all.set(socket, subscriber);
    remember(subscriber);
    if (this.#all.size === 1) this.#beatAt = now;
    const type = since === null || resumesAt !== null ? "snapshot" : "reset";
    this.#send(subscriber, encode({ type, epoch: held.epoch, seq, ...state(now) })(view), seq, now);
    this.#replay(subscriber, now);
    this.#work();
    const headers = protocol === null ? {} : { "sec-websocket-protocol": protocol };
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  /** What a subscriber says. Anything but a ping or an acknowledgement ends it. */
  message(socket: WebSocket, text: string | ArrayBuffer, now: number): void {
    const subscriber = this.#all.get(socket);
    if (subscriber === undefined) return;
    const message = isFlooding(subscriber, now)
      ? ({ kind: "refused", code: 1008, reason: "too many messages" } as const)
      : readMessage(text);
    switch (message.kind) {
      case "ping":
        heard(subscriber.flow, now);
        socket.send("pong");
        return;
      case "ack": {
        const isFirst = !subscriber.flow.acks;
        acknowledged(subscriber.flow, message.seq);
        if (isFirst) remember(subscriber);
        if (subscriber.replayedTo !== null) this.#work();
        return;
      }
      case "refused":
        this.#close(subscriber, message.code, message.reason);
    }
  }

  /** It has closed, or its connection broke. */
  gone(socket: WebSocket): void {
    this.#all.delete(socket);
  }

  #wake(socket: WebSocket): void {
    const attachment = readAttachment(socket);
    if (attachment === null) {
      socket.close(1012, "reconnect");
      return;
    }
    const { view, acks, replayedTo } = attachment;
    this.#all.set(socket, newSubscriber(socket, view, acks, replayedTo));
    if (replayedTo !== null) this.#work();
  }

  // ── what they are told ────────────────────────────────────────────────────────────────────────────────────────

  /** Events were recorded, or the state may have changed. Call it in the turn in which that happened. */
  publish(now: number): void {
    if (this.#all.size === 0) return;
    this.#publishEvents(FRAMES_AT_ONCE, now);
    this.#work();
    this.#publishState(now);
  }

  /** Sends a heartbeat when one is due. */
  beat(now: number): void {
    const { heartbeatAt } = this;
    if (heartbeatAt === null || now < heartbeatAt) return;
    this.#beatAt = now;
    const text = encode({ type: "heartbeat" });
    for (const subscriber of this.#all.values()) {
      if (this.#mayHold(subscriber, now)) this.#put(subscriber, text(subscriber.view));
    }
  }

  #publishEvents(frames: number, now: number): void {
    const { log } = this.deps;
    if (this.#published >= log.head) return;
    const atOnce = Math.max(1, Math.floor(frames / this.#all.size));
    const events = log.after(this.#published, atOnce);
    // Retention has passed them by: what they missed is gone.
    if (events[0]?.seq !== this.#published + 1) this.#closeAll(1013, TOO_FAR);
    for (const event of events) {
      const text = encode({ type: "event", epoch: this.deps.epoch(), seq: event.seq, event });
      for (const subscriber of this.#all.values()) {
        if (subscriber.replayedTo === null) this.#send(subscriber, text(subscriber.view), event.seq, now);
      }
      this.#published = event.seq;
    }
    this.#setPublished(this.#published);
  }

  /** At most one in an interval: what changes meanwhile is in the next. */
  #publishState(now: number): void {
    const held = this.#state;
    if (held.isTimed || this.#all.size === 0) return;
    const waitMs = held.sentAt + STATE_INTERVAL_MS - now;
    if (waitMs > 0) {
      this.#publishStateIn(waitMs);
      return;
    }
    const state = this.deps.state(now);
    const seen = fingerprint(state);
    if (seen !== held.fingerprint) {
      this.#state = { fingerprint: seen, sentAt: now, isTimed: false };
      const text = encode({ type: "state", ...state });
      for (const subscriber of this.#all.values()) {
        this.#send(subscriber, text(subscriber.view), subscriber.replayedTo ?? this.#published, now);
      }
    }
    if (isMoving(state)) this.#publishStateIn(STATE_INTERVAL_MS);
  }

  #publishStateIn(ms: number): void {
    this.#state.isTimed = true;
    setTimeout(() => {
      this.#state.isTimed = false;
      this.#publishState(Date.now());
    }, ms);
  }

  /** What is left to send, bit by bit, until nothing is. */
  #work(): void {
    if (this.#isWorking || !this.#hasWork) return;
    this.#isWorking = true;
    const work = async () => {
      while (this.#hasWork) {
        await nextTurn();
        const now = Date.now();
        for (const subscriber of this.#all.values()) this.#replay(subscriber, now);
        if (this.#all.size > 0) this.#publishEvents(FRAMES_A_TURN, now);
      }
    };
    this.ctx.waitUntil(
      work().finally(() => {
        this.#isWorking = false;
      }),
    );
  }

  get #hasWork(): boolean {
    if (this.#all.size === 0) return false;
    if (this.#published < this.deps.log.head) return true;
    for (const subscriber of this.#all.values()) if (this.#canReplay(subscriber)) return true;
    return false;
  }

  /** Not beyond what it has acknowledged by half of what would end it. */
  #canReplay({ replayedTo, flow }: Subscriber): boolean {
    const isFree = !flow.acks || flow.bytes < MAX_BEHIND_BYTES / 2;
    return replayedTo !== null && replayedTo <= this.#published && isFree;
  }

  #replay(subscriber: Subscriber, now: number): void {
    const { replayedTo } = subscriber;
    if (replayedTo === null || !this.#canReplay(subscriber)) return;
    const { log, epoch } = this.deps;
    let last = replayedTo;
    for (const event of log.after(replayedTo, Math.min(REPLAYED_A_TURN, this.#published - replayedTo))) {
      // Retention has passed it by meanwhile.
      if (event.seq !== last + 1) {
        this.#close(subscriber, 1013, TOO_FAR);
        return;
      }
      const text = encode({ type: "event", epoch: epoch(), seq: event.seq, event });
      this.#send(subscriber, text(subscriber.view), event.seq, now);
      last = event.seq;
    }
    subscriber.replayedTo = last === this.#published ? null : last;
    remember(subscriber);
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  #send(subscriber: Subscriber, text: string, seq: number, now: number): void {
    if (!this.#mayHold(subscriber, now)) return;
    sent(subscriber.flow, seq, text.length, now);
    this.#put(subscriber, text);
  }

  #put(subscriber: Subscriber, text: string): void {
    try {
      subscriber.socket.send(text);
    } catch {
      // It is closing: its end is told apart.
      this.#all.delete(subscriber.socket);
    }
  }

  /** False: it was too far behind, and is closed. */
  #mayHold(subscriber: Subscriber, now: number): boolean {
    const { flow, socket } = subscriber;
    const isReplaying = subscriber.replayedTo !== null;
    if (!isTooFarBehind(flow, isReplaying, now)) return true;
    heard(flow, this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0);
    if (!isTooFarBehind(flow, isReplaying, now)) return true;
    this.#close(subscriber, 1013, TOO_FAR);
    return false;
  }

  #close(subscriber: Subscriber, code: number, reason: string): void {
    this.#all.delete(subscriber.socket);
    try {
      subscriber.socket.close(code, reason);
    } catch {
      // It is closed already.
    }
  }

  #closeAll(code: number, reason: string): void {
    for (const subscriber of this.#all.values()) this.#close(subscriber, code, reason);
  }

  #setPublished(seq: number): void {
    this.#published = seq;
    this.deps.cursors.save("subscribers", seq);
  }
}

function newSubscriber(socket: WebSocket, view: SubscriberView, acks: boolean, replayedTo: number | null): Subscriber {
  return { socket, view, flow: createFlow(acks), replayedTo, messages: { second: 0, count: 0 } };
}

function remember({ socket, view, flow, replayedTo }: Subscriber): void {
  socket.serializeAttachment({ view, acks: flow.acks, replayedTo });
}

function isFlooding(subscriber: Subscriber, now: number): boolean {
  const second = Math.floor(now / 1_000);
  if (subscriber.messages.second !== second) subscriber.messages = { second, count: 0 };
  subscriber.messages.count += 1;
  return subscriber.messages.count > MESSAGES_A_SECOND;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
