import { env } from "cloudflare:workers";
import { handle } from "../../../src/http/router";
import type { WorkerEnv } from "../../../src/shared/env";
import type { StatusFrame } from "../../../src/shared/frames";
import { until } from "../service/world";

export interface Dial {
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly env?: Partial<WorkerEnv>;
}

/** The Worker's answer to a WebSocket. */
export function dial({ path = "/health/ws?service=R2_STORAGE", headers = {}, env: change = {} }: Dial = {}) {
  const request = new Request(`http://worker.test${path}`, { headers: { upgrade: "websocket", ...headers } });
  return handle(request, { ...env, ...change });
}

export const WITH_TOKEN = { authorization: "Bearer dev-admin" };

/** A subscriber that takes down all that it gets. */
export class Socket {
  readonly frames: StatusFrame[] = [];
  readonly texts: string[] = [];
  closed: { code: number; reason: string } | null = null;

  constructor(readonly webSocket: WebSocket) {
    webSocket.addEventListener("message", ({ data }) => {
      const text = String(data);
      this.texts.push(text);
      if (text.startsWith("{")) this.frames.push(JSON.parse(text) as StatusFrame);
    });
    webSocket.addEventListener("close", ({ code, reason }) => {
      this.closed = { code, reason };
    });
    webSocket.accept();
  }

  send(message: string | ArrayBuffer): void {
    this.webSocket.send(message);
  }

  ofType<T extends StatusFrame["type"]>(type: T): Extract<StatusFrame, { type: T }>[] {
    return this.frames.filter((frame): frame is Extract<StatusFrame, { type: T }> => frame.type === type);
  }

  get events() {
    return this.ofType("event");
  }

  /** Waits for frames that satisfy. */
  until(isWanted: (socket: Socket) => boolean, ms = 10_000): Promise<unknown> {
    return until(
      async () => ({ frames: this.texts.slice(-5), closed: this.closed, ok: isWanted(this) }),
      ({ ok }) => ok,
      ms,
    );
  }

  close(): void {
    this.webSocket.close();
  }
}

export async function connect(options: Dial = {}): Promise<Socket> {
  const response = await dial(options);
  const { webSocket } = response;
  if (response.status !== 101 || webSocket === null) throw new Error(`${response.status}: ${await response.text()}`);
  return new Socket(webSocket);
}
