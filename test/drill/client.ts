/** The system's HTTP interface, as an application and an operator use it. Nothing here throws because the server died. */
import { createHash } from "node:crypto";
import type { StoredValue, Value } from "./oracle.ts";

const GATEWAY_TOKEN = "dev-r2";
const ADMIN_TOKEN = "dev-admin";
const SERVICE = "R2_STORAGE";
const TIMEOUT_MS = 60_000;

export interface Upload {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly customMetadata: Readonly<Record<string, string>>;
}

/** `unanswered`: the connection died. `refused`: an error answer, `why` says which. */
export type WriteAnswer =
  | { readonly kind: "stored" | "queued"; readonly etag: string | null }
  | { readonly kind: "refused" | "unanswered"; readonly why: string };

export type ReadAnswer =
  | { readonly kind: "found"; readonly value: Value; readonly source: string | null }
  | { readonly kind: "refused" | "unanswered"; readonly why: string };

/** Of a call that writes nothing by itself. */
export type Answer<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "refused" | "unanswered"; readonly why: string };

export interface Listed {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
}

interface ListPage {
  readonly objects: readonly Listed[];
  readonly delimited_prefixes: readonly string[];
  readonly cursor: string | null;
  readonly partial: boolean;
}

interface ListRequest {
  readonly prefix: string;
  readonly delimiter: string;
  readonly limit: number;
  readonly cursor: string | null;
  readonly isPartial: boolean;
}

interface CircuitStatus {
  readonly state: string;
  readonly admit: number;
}

/** Calls that reached R2 or its injector, by who made them and by class. */
export type CallCounts = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface Status {
  readonly circuits: { readonly read: CircuitStatus; readonly write: CircuitStatus };
  readonly queued: number;
  readonly callsWhileOpen: CallCounts;
}

interface QueueCounts {
  readonly total_size: number;
  readonly failed: number;
  readonly bytes: number;
  readonly unreachable_shards: number;
}

export class Client {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async put(key: string, upload: Upload): Promise<WriteAnswer> {
    const body = upload.body as Uint8Array<ArrayBuffer>;
    return this.#write(objectPath(key), { method: "PUT", headers: metadataHeaders(upload), body });
  }

  async delete(key: string): Promise<WriteAnswer> {
    return this.#write(objectPath(key), { method: "DELETE" });
  }

  /** The upload's id. */
  async beginUpload(key: string, upload: Omit<Upload, "body">): Promise<Answer<string>> {
    const init = { method: "POST", headers: metadataHeaders(upload) };
    return this.#ask(
      `${objectPath(key)}?uploads`,
      init,
      (text) => (JSON.parse(text) as { upload_id: string }).upload_id,
    );
  }

  /** The part's etag. */
  async uploadPart(key: string, uploadId: string, number: number, body: Uint8Array): Promise<Answer<string>> {
    const init = { method: "PUT", body: body as Uint8Array<ArrayBuffer> };
    const path = `${uploadPath(key, uploadId)}&partNumber=${number}`;
    return this.#ask(path, init, (text) => (JSON.parse(text) as { etag: string }).etag);
  }

  /** `etags`: by part number. */
  async completeUpload(
    key: string,
    uploadId: string,
    etags: ReadonlyMap<number, string>,
    idempotencyKey: string,
  ): Promise<WriteAnswer> {
    const parts = [...etags].map(([part_number, etag]) => ({ part_number, etag })).sort(byNumber);
    const headers = { "content-type": "application/json", "idempotency-key": idempotencyKey };
    return this.#write(uploadPath(key, uploadId), { method: "POST", headers, body: JSON.stringify({ parts }) });
  }

  async abortUpload(key: string, uploadId: string): Promise<Answer<null>> {
    return this.#ask(uploadPath(key, uploadId), { method: "DELETE" }, () => null);
  }

  async list({ prefix, delimiter, limit, cursor, isPartial }: ListRequest): Promise<Answer<ListPage>> {
    const query = new URLSearchParams({ prefix, delimiter, limit: String(limit), allow_partial: String(isPartial) });
    if (cursor !== null) query.set("cursor", cursor);
    return this.#ask(`/r2/?${query}`, {}, (text) => JSON.parse(text) as ListPage);
  }

  async get(key: string): Promise<ReadAnswer> {
    try {
      const response = await this.#fetch(objectPath(key), GATEWAY_TOKEN, {});
      if (response.status === 404) {
        await response.arrayBuffer();
        return { kind: "found", value: null, source: response.headers.get("x-failover-source") };
      }
      if (response.status !== 200) return { kind: "refused", why: await problem(response) };
      const body = new Uint8Array(await response.arrayBuffer());
      return {
        kind: "found",
        value: storedValue(body, {
          etag: unquoted(response.headers.get("etag") ?? ""),
          contentType: response.headers.get("content-type") ?? "",
          customMetadata: metadataOf(response.headers),
        }),
        source: response.headers.get("x-failover-source"),
      };
    } catch (error) {
      return { kind: "unanswered", why: String(error) };
    }
  }

  async setConfig(section: string, key: string, value: number): Promise<void> {
    await this.#admin(`/health/config/${section}/${key}`, "PUT", { value });
  }

  async setFaults(faults: readonly object[]): Promise<void> {
    await this.#admin(`/health/services/${SERVICE}/faults`, "PUT", { faults });
  }

  async faults(): Promise<readonly unknown[]> {
    const answer = await this.#admin(`/health/services/${SERVICE}/faults`, "GET");
    return (answer as { faults: readonly unknown[] }).faults;
  }

  async clearFaults(): Promise<void> {
    await this.#admin(`/health/services/${SERVICE}/faults`, "DELETE");
  }

  /**
   * The service's circuits and queue, as its own object sees them. Throws when the server does not answer. It touches
   * no queue object, so that a shard which forgot to wake up is not woken by being looked at.
   */
  async status(): Promise<Status> {
    const service = (await this.#admin(`/health/services/${SERVICE}`, "GET")) as {
      circuits: Status["circuits"];
      queue: { total_size: number };
      bucket_calls_while_open: CallCounts;
    };
    const { circuits, queue, bucket_calls_while_open } = service;
    return { circuits, queued: queue.total_size, callsWhileOpen: bucket_calls_while_open };
  }

  /** What every shard of the queue says itself. */
  async queue(): Promise<QueueCounts> {
    return (await this.#admin("/health/queue/status", "GET")) as QueueCounts;
  }

  async #ask<T>(path: string, init: RequestInit, parse: (text: string) => T): Promise<Answer<T>> {
    try {
      const response = await this.#fetch(path, GATEWAY_TOKEN, init);
      if (!response.ok) return { kind: "refused", why: await problem(response) };
      return { kind: "done", value: parse(await response.text()) };
    } catch (error) {
      return { kind: "unanswered", why: String(error) };
    }
  }

  async #write(path: string, init: RequestInit): Promise<WriteAnswer> {
    let response: Response;
    try {
      response = await this.#fetch(path, GATEWAY_TOKEN, init);
    } catch (error) {
      return { kind: "unanswered", why: String(error) };
    }
    const { status } = response;
    if (status !== 200 && status !== 202 && status !== 204) return { kind: "refused", why: await problem(response) };
    // From here on the write is acknowledged, also when the connection dies under the answer's body.
    const text = await response.text().catch(() => "");
    return { kind: status === 202 ? "queued" : "stored", etag: etagOf(text) };
  }

  async #admin(path: string, method: string, body?: object): Promise<unknown> {
    const init: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    const response = await this.#fetch(path, ADMIN_TOKEN, { ...init, headers: { "content-type": "application/json" } });
    if (!response.ok) throw new Error(`${method} ${path}: ${await problem(response)}`);
    const text = await response.text();
    return text === "" ? null : JSON.parse(text);
  }

  async #fetch(path: string, token: string, init: RequestInit): Promise<Response> {
    const headers = { ...init.headers, authorization: `Bearer ${token}` };
    return fetch(this.#url + path, { ...init, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  }
}

/** What was read or written, in the oracle's terms. */
export function storedValue(
  body: Uint8Array,
  told: Pick<StoredValue, "etag" | "contentType" | "customMetadata">,
): StoredValue {
  return { sha256: createHash("sha256").update(body).digest("hex"), size: body.byteLength, ...told };
}

export function md5(body: Uint8Array): string {
  return createHash("md5").update(body).digest("hex");
}

function objectPath(key: string): string {
  return `/r2/${key.split("/").map(encodeURIComponent).join("/")}`;
}

function uploadPath(key: string, uploadId: string): string {
  return `${objectPath(key)}?uploadId=${encodeURIComponent(uploadId)}`;
}

function byNumber(a: { part_number: number }, b: { part_number: number }): number {
  return a.part_number - b.part_number;
}

function metadataHeaders({ contentType, customMetadata }: Omit<Upload, "body">): Record<string, string> {
  const metadata = Object.entries(customMetadata).map(([name, value]) => [`x-amz-meta-${name}`, value]);
  return { "content-type": contentType, ...Object.fromEntries(metadata) };
}

function metadataOf(headers: Headers): Record<string, string> {
  const prefix = "x-amz-meta-";
  const entries = [...headers].filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length), value]));
}

function etagOf(text: string): string | null {
  if (text === "") return null;
  const { etag } = JSON.parse(text) as { etag?: string | null };
  return typeof etag === "string" ? unquoted(etag) : null;
}

function unquoted(etag: string): string {
  return etag.replace(/^"|"$/g, "");
}

async function problem(response: Response): Promise<string> {
  const text = await response.text().catch(() => "");
  return `${response.status} ${text.slice(0, 300)}`;
}
