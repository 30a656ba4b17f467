import { DurableObject } from "cloudflare:workers";
import { CHUNK_BYTES, PayloadStore } from "../../../durable-objects/queue/payload-store";
import { type NewOperation, QueueStore } from "../../../durable-objects/queue/queue-store";
import { migrate } from "../../../durable-objects/shared/migrate";
import initial from "../../../migrations/queue/0001_initial.sql";
import type { FailoverEnv } from "../../../src/shared/env";

const STREAM = "stream";

/** What the queue is measured beside: an object with the same tables that only inserts, or only puts. */
export class PeerDO extends DurableObject<FailoverEnv> {
  readonly #operations: QueueStore;
  readonly #payloads: PayloadStore;

  constructor(ctx: DurableObjectState, env: FailoverEnv) {
    super(ctx, env);
    migrate(ctx, [{ name: "0001_initial", sql: initial }]);
    this.#operations = new QueueStore(ctx.storage.sql);
    this.#payloads = new PayloadStore(ctx.storage.sql);
  }

  /** The row and the payload that an enqueue leaves behind. */
  async insert(operation: NewOperation, payload: Uint8Array): Promise<number> {
    this.#payloads.write(operation.operationId, 0, payload);
    return this.#operations.insert(operation);
  }

  /** A stream into rows of a chunk each, and nothing else; `hashed`: but for the MD5 that an etag is. */
  async store(stream: ReadableStream<Uint8Array>, hashed: boolean): Promise<void> {
    const digest = new crypto.DigestStream("MD5");
    const writer = digest.getWriter();
    const reader = stream.getReader({ mode: "byob" });
    let chunk = new Uint8Array(CHUNK_BYTES);
    for (let n = 0; ; n += 1) {
      const { value } = await reader.readAtLeast(CHUNK_BYTES, chunk);
      if (value === undefined || value.byteLength === 0) break;
      if (hashed) await writer.write(value);
      this.#payloads.write(STREAM, n, value);
      chunk = new Uint8Array(value.buffer, 0, CHUNK_BYTES);
    }
    await writer.close();
    await digest.digest;
  }

  async clear(): Promise<void> {
    this.#payloads.free(STREAM, 0);
  }

  /** A subscriber that is only taken in. */
  override async fetch(): Promise<Response> {
    const { 0: client, 1: socket } = new WebSocketPair();
    this.ctx.acceptWebSocket(socket);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** A bare loop of sends. Answers when it began. */
  async sendAll(text: string): Promise<number> {
    const startedAt = Date.now();
    for (const socket of this.ctx.getWebSockets()) socket.send(text);
    return startedAt;
  }

  /** A bare loop of puts. Answers how long it took, ms. */
  async putAll(prefix: string, count: number, concurrency: number, payload: Uint8Array): Promise<number> {
    const startedAt = Date.now();
    let next = 1;
    const worker = async () => {
      while (next <= count) await this.env.R2_BUCKET.put(`${prefix}${next++}`, payload);
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    return Date.now() - startedAt;
  }
}
