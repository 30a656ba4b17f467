import type { WorkerEnv } from "../shared/env";
import { type Credentials, credentialsOf, isSet, isWebSocketUpgrade } from "./credentials";
import { isAllowedOrigin } from "./origin";
import { type Problem, problem } from "./problem";
import { takesUserTokens } from "./user-token";

/**
 * Who may make a call; an operator always may. `gateway`: the gateway's token, or a user within their own (the handler
 * sees to that). `gateway_read`: the same, or anyone where reads are public. `user`: a user, about their own.
 */
export type Access = "public" | "gateway" | "gateway_read" | "user" | "admin";

/** Who makes it. On public calls a user is anonymous: what is not everybody's there is the operators'. */
export type Principal =
  | { readonly kind: "anonymous" }
  | { readonly kind: "user"; readonly userId: string }
  | { readonly kind: "gateway" }
  | { readonly kind: "admin" };

export type Verdict =
  | { readonly ok: true; readonly principal: Principal }
  | { readonly ok: false; readonly problem: Problem };

/** Which secrets are set. One that is not closes what it guards. */
export interface Secrets {
  readonly admin: boolean;
  readonly gateway: boolean;
  readonly user: boolean;
}

type Guarded = Exclude<Access, "public" | "gateway_read">;

/** Whom a guarded call lets in besides operators. */
const ADMITTED: Readonly<Record<Guarded, readonly Principal["kind"][]>> = {
  gateway: ["gateway", "user"],
  user: ["user"],
  admin: [],
};

/** The secrets that guard a call: with none of them set it is closed. */
const GUARDS: Readonly<Record<Guarded, readonly (keyof Secrets)[]>> = {
  gateway: ["gateway", "user"],
  user: ["user", "admin"],
  admin: ["admin"],
};

/** Decides by route, credentials and secrets. On public calls wrong credentials count as none. */
export function decide(access: Exclude<Access, "gateway_read">, credentials: Credentials, secrets: Secrets): Verdict {
  if (credentials.kind === "admin") return { ok: true, principal: { kind: "admin" } };
  if (access === "public") {
    return { ok: true, principal: { kind: credentials.kind === "gateway" ? "gateway" : "anonymous" } };
  }
  const admitted = ADMITTED[access];
  if (credentials.kind === "gateway" && admitted.includes("gateway")) {
    return { ok: true, principal: { kind: "gateway" } };
  }
  if (credentials.kind === "user" && admitted.includes("user")) {
    return { ok: true, principal: { kind: "user", userId: credentials.userId } };
  }
  const isClosed = GUARDS[access].every((guard) => !secrets[guard]);
  return { ok: false, problem: isClosed ? notConfigured() : refusal(credentials, admitted.includes("user")) };
}

/** Why credentials that are not enough are not. */
function refusal(credentials: Credentials, admitsUsers: boolean): Problem {
  switch (credentials.kind) {
    case "none":
      return unauthorized("Send a token: Authorization: Bearer <token>.", "");
    case "unreadable":
      return unauthorized(
        "The Authorization header cannot be read. Send: Bearer <token>.",
        ', error="invalid_request"',
      );
    case "invalid":
      return unauthorized(`The token is not accepted. ${credentials.why}`, ', error="invalid_token"');
    case "foreign":
      return problem("FORBIDDEN", `This token is not for here. ${credentials.why}`);
    case "user_unread":
      return admitsUsers ? notConfigured() : wrongToken();
    case "keys_unavailable":
      return admitsUsers
        ? problem("SERVICE_UNAVAILABLE", "The keys that users' tokens are checked with cannot be fetched.")
        : wrongToken();
    case "unknown":
    case "user":
    case "gateway":
    case "admin":
      return wrongToken();
  }
}

function wrongToken(): Problem {
  return problem("FORBIDDEN", "This token does not allow this call.");
}

function notConfigured(): Problem {
  return problem("AUTH_NOT_CONFIGURED", "The secret that guards this call is not set, so the call is closed.");
}

function unauthorized(detail: string, parameters: string): Problem {
  return problem("UNAUTHORIZED", detail, {
    headers: { "www-authenticate": `Bearer realm="r2-failover"${parameters}` },
  });
}

/** Reads the request's token, and checks it against what is set. */
export async function authorize(request: Request, env: WorkerEnv, access: Access): Promise<Verdict> {
  // A WebSocket is not bound to its page's origin, so the page is asked for here.
  if (isWebSocketUpgrade(request) && !isAllowedOrigin(request, env)) {
    return {
      ok: false,
      problem: problem("FORBIDDEN", "Pages of this origin may not connect. CORS_ORIGINS lists those that may."),
    };
  }
  const needed = access === "gateway_read" ? (env.R2_PUBLIC_READ === "true" ? "public" : "gateway") : access;
  const secrets = { admin: isSet(env.ADMIN_TOKEN), gateway: isSet(env.R2_TOKEN), user: takesUserTokens(env) };
  return decide(needed, await credentialsOf(request, env, secrets.user && needed !== "public"), secrets);
}
