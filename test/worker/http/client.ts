import { env } from "cloudflare:workers";
import { handle } from "../../../src/http/router";
import type { WorkerEnv } from "../../../src/shared/env";

export const ADMIN = "dev-admin";
export const GATEWAY = "dev-r2";

export interface Sent {
  token?: string | null;
  headers?: Record<string, string>;
  body?: BodyInit | null;
  json?: unknown;
  /** What differs in the Worker's environment. */
  env?: Partial<WorkerEnv>;
}

/** One request, answered by the Worker's own router in this isolate. */
export function send(method: string, path: string, sent: Sent = {}): Promise<Response> {
  const headers = new Headers(sent.headers);
  if (sent.token !== undefined && sent.token !== null) headers.set("authorization", `Bearer ${sent.token}`);
  const body = sent.json === undefined ? (sent.body ?? null) : JSON.stringify(sent.json);
  if (typeof body === "string") headers.set("content-length", String(new TextEncoder().encode(body).byteLength));
  return handle(new Request(`http://worker.test${path}`, { method, headers, body }), { ...env, ...sent.env });
}

export const asAdmin = (method: string, path: string, sent: Sent = {}) => send(method, path, { token: ADMIN, ...sent });
export const asGateway = (method: string, path: string, sent: Sent = {}) =>
  send(method, path, { token: GATEWAY, ...sent });

/** Status and code of an answer, for tables. */
export async function verdict(response: Response): Promise<string> {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("application/problem+json")) {
    await response.body?.cancel();
    return String(response.status);
  }
  const { code } = await response.json<{ code: string }>();
  return `${response.status} ${code}`;
}
