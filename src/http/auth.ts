import type { WorkerEnv } from "../shared/env";
import { type Problem, problem } from "./problem";

/** Who may make a call. `gateway_read` is `gateway`, or anyone where reads are public. */
export type Access = "public" | "gateway" | "gateway_read" | "admin";

/** Who makes it. */
export type Principal = "anonymous" | "gateway" | "admin";

/** `unknown`: a readable token that is none of ours. */
export type Credentials = "none" | "unreadable" | "unknown" | "gateway" | "admin";

export type Verdict =
  | { readonly ok: true; readonly principal: Principal }
  | { readonly ok: false; readonly problem: Problem };

/** Which secrets are set. One that is not closes what it guards. */
export interface Secrets {
  readonly admin: boolean;
  readonly gateway: boolean;
}

/** Decides by route, credentials and secrets. On public calls wrong credentials count as none. */
export function decide(access: Exclude<Access, "gateway_read">, credentials: Credentials, secrets: Secrets): Verdict {
  const principal: Principal = credentials === "admin" || credentials === "gateway" ? credentials : "anonymous";
  if (access === "public" || principal === "admin") return { ok: true, principal };
  if (access === "gateway" && principal === "gateway") return { ok: true, principal };
  const isConfigured = access === "admin" ? secrets.admin : secrets.gateway;
  if (!isConfigured) {
    return refused(
      problem("AUTH_NOT_CONFIGURED", "The secret that guards this call is not set, so the call is closed."),
    );
  }
  if (credentials === "none") return refused(unauthorized("Send a token: Authorization: Bearer <token>.", ""));
  if (credentials === "unreadable") {
    return refused(
      unauthorized("The Authorization header cannot be read. Send: Bearer <token>.", ', error="invalid_request"'),
    );
  }
  return refused(problem("FORBIDDEN", "This token does not allow this call."));
}

function refused(found: Problem): Verdict {
  return { ok: false, problem: found };
}

function unauthorized(detail: string, parameters: string): Problem {
  return problem("UNAUTHORIZED", detail, {
    headers: { "www-authenticate": `Bearer realm="r2-failover"${parameters}` },
  });
}

/** Reads the Authorization header and checks it against both secrets, in time that does not depend on the token. */
export async function authorize(request: Request, env: WorkerEnv, access: Access): Promise<Verdict> {
  const needed = access === "gateway_read" ? (env.R2_PUBLIC_READ === "true" ? "public" : "gateway") : access;
  const secrets = { admin: isSet(env.ADMIN_TOKEN), gateway: isSet(env.R2_TOKEN) };
  return decide(needed, await credentialsOf(request.headers.get("authorization"), env), secrets);
}

function isSet(secret: string | undefined): secret is string {
  return secret !== undefined && secret !== "";
}

async function credentialsOf(header: string | null, env: WorkerEnv): Promise<Credentials> {
  if (header === null) return "none";
  const token = /^Bearer +(\S+)$/i.exec(header.trim())?.[1];
  if (token === undefined) return "unreadable";
  const given = await digest(token);
  const [isAdmin, isGateway] = await Promise.all([matches(given, env.ADMIN_TOKEN), matches(given, env.R2_TOKEN)]);
  if (isAdmin) return "admin";
  return isGateway ? "gateway" : "unknown";
}

/** Digests have one length, so that the comparison tells nothing about the secret's. */
async function matches(given: ArrayBuffer, secret: string | undefined): Promise<boolean> {
  return isSet(secret) && crypto.subtle.timingSafeEqual(given, await digest(secret));
}

function digest(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
