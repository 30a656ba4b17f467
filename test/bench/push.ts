/**
 * How long a change takes from the object to the last of 5,000 subscribers, beside a bare loop that sends the same text
 * to as many sockets. `node test/bench/push.ts`.
 */
import { type Figure, figure, interleaved, printFigures } from "./figure.ts";
import { startBenchSystem } from "./system.ts";

const SUBSCRIBERS = 5_000;
const ROUNDS = 11;
const OPENED_AT_ONCE = 50;
/** On a busy machine a connection may be too late for its client. */
const TRIES = 5;

export async function benchPush(): Promise<Figure[]> {
  const system = await startBenchSystem();
  try {
    const base = await system.url();
    const ours = await openAll(new URL("/health/ws?service=R2_STORAGE", base));
    const peer = await openAll(new URL("/peer/ws", base));
    // Of the round that warms up and is not counted: from then on it is our own frame.
    let text = '{"type":"event"}';
    const measured = await interleaved(ROUNDS, {
      ours: async () => {
        const arrived = ours.next();
        const changedAt = await system.call<number>("change");
        const last = await arrived;
        text = last.text;
        return last.at - changedAt;
      },
      peer: async () => {
        const arrived = peer.next();
        const startedAt = await system.call<number>("send", { text });
        return (await arrived).at - startedAt;
      },
    });
    for (const each of [ours, peer]) each.close();
    return [
      figure(
        `status push: from the change in the object to the last of ${SUBSCRIBERS} subscribers, beside a bare loop of sends`,
        measured.ours,
        measured.peer,
        "ms",
        "<= 1.3",
      ),
    ];
  } finally {
    await system.stop();
  }
}

interface Crowd {
  /** When the last of all has got the next event, and what it was. */
  next(): Promise<{ readonly at: number; readonly text: string }>;
  close(): void;
}

async function openAll(url: URL): Promise<Crowd> {
  url.protocol = "ws:";
  const sockets: WebSocket[] = [];
  let missing = 0;
  let done: (last: { at: number; text: string }) => void = () => undefined;
  const hear = ({ data }: MessageEvent) => {
    const text = String(data);
    if (!text.startsWith('{"type":"event"')) return;
    missing -= 1;
    if (missing === 0) done({ at: Date.now(), text });
  };
  for (let opened = 0; opened < SUBSCRIBERS; opened += OPENED_AT_ONCE) {
    sockets.push(...(await Promise.all(Array.from({ length: OPENED_AT_ONCE }, () => open(url, hear)))));
  }
  return {
    next: () => {
      missing = sockets.length;
      return new Promise((resolve) => {
        done = resolve;
      });
    },
    close: () => {
      for (const socket of sockets) socket.close();
    },
  };
}

async function open(url: URL, hear: (event: MessageEvent) => void): Promise<WebSocket> {
  for (let tries = 1; ; tries += 1) {
    const socket = new WebSocket(url);
    socket.addEventListener("message", hear);
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.addEventListener("open", () => resolve(true));
      socket.addEventListener("error", () => resolve(false));
    });
    if (isOpen) return socket;
    if (tries === TRIES) throw new Error(`no WebSocket at ${url.href}`);
  }
}

if (import.meta.main) printFigures(await benchPush());
