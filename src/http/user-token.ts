/** Users' JSON Web Tokens (RFC 7519): which are set up to be read, and what one of them says. */
import { createRemoteJWKSet, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import type { WorkerEnv } from "../shared/env";
import { errorFields, log } from "./log";

type UserTokenEnv = Pick<WorkerEnv, "USER_JWT_SECRET" | "USER_JWKS_URL" | "USER_JWT_AUDIENCE">;

/** What a token turned out to be. `keys_unavailable`: the keys that would tell cannot be fetched now. */
export type UserToken =
  | { readonly kind: "user"; readonly userId: string }
  | { readonly kind: "invalid"; readonly why: string }
  | { readonly kind: "foreign"; readonly why: string }
  | { readonly kind: "keys_unavailable" };

/** The keys' kind pins the algorithm: no public key is ever taken for a shared secret. */
const SECRET_ALGORITHM = "HS256";
const KEY_SET_ALGORITHMS = ["RS256", "ES256", "EdDSA"];
const KEY_SET_TIMEOUT_MS = 3_000;
const MAX_USER_ID_LENGTH = 256;

/**
 * Whether users can sign in. A key set without an audience is not enough: with Cloudflare Access, one set of keys signs
 * for every application of a team.
 */
export function takesUserTokens(env: UserTokenEnv): boolean {
  return secretOf(env) !== null || keySetOf(env) !== null;
}

/** Three parts in base64url: a signed token. */
export function looksLikeUserToken(token: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token);
}

/** Signature, algorithm, expiry, audience and user of a token. Never throws. */
export async function readUserToken(token: string, env: UserTokenEnv): Promise<UserToken> {
  const audience = env.USER_JWT_AUDIENCE;
  const options = { requiredClaims: ["exp"], ...(isGiven(audience) ? { audience } : {}) };
  const secret = secretOf(env);
  const keySet = keySetOf(env);
  try {
    if (secret !== null && (keySet === null || algorithmOf(token) === SECRET_ALGORITHM)) {
      return userOf((await jwtVerify(token, secret, { ...options, algorithms: [SECRET_ALGORITHM] })).payload);
    }
    if (keySet === null) return { kind: "keys_unavailable" };
    return userOf((await jwtVerify(token, keySet, { ...options, algorithms: KEY_SET_ALGORITHMS })).payload);
  } catch (error) {
    return verdictOn(error);
  }
}

/** Null: the header cannot be read. */
function algorithmOf(token: string): string | null {
  try {
    return decodeProtectedHeader(token).alg ?? null;
  } catch {
    return null;
  }
}

function userOf(payload: JWTPayload): UserToken {
  const sub: unknown = payload.sub;
  const userId = Number.isSafeInteger(sub) ? String(sub) : sub;
  if (typeof userId !== "string" || userId === "" || userId.length > MAX_USER_ID_LENGTH) {
    return { kind: "foreign", why: "It names no user: its sub must have 1 to 256 characters." };
  }
  return { kind: "user", userId };
}

function verdictOn(error: unknown): UserToken {
  if (error instanceof errors.JWTExpired) return { kind: "invalid", why: "It has expired." };
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === "aud"
      ? { kind: "foreign", why: "It was made for another audience." }
      : { kind: "invalid", why: `Its claim ${error.claim} is missing or does not hold.` };
  }
  if (TOKENS_FAULT.some((fault) => error instanceof fault)) {
    return { kind: "invalid", why: "It is malformed or wrongly signed." };
  }
  log("warn", "user_keys_unavailable", errorFields(error));
  return { kind: "keys_unavailable" };
}

/** Anything else that is thrown comes from fetching the keys. */
const TOKENS_FAULT = [
  errors.JWSInvalid,
  errors.JWTInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
  errors.JWKSNoMatchingKey,
  errors.JWKSMultipleMatchingKeys,
];

function secretOf(env: UserTokenEnv): Uint8Array | null {
  return isGiven(env.USER_JWT_SECRET) ? new TextEncoder().encode(env.USER_JWT_SECRET) : null;
}

type KeySet = ReturnType<typeof createRemoteJWKSet>;

/** The keys stay in the isolate for ten minutes; an unknown key id fetches them anew, at most every 30 s. */
const keySets = new Map<string, KeySet>();

function keySetOf(env: UserTokenEnv): KeySet | null {
  const text = env.USER_JWKS_URL;
  if (!isGiven(text) || !isGiven(env.USER_JWT_AUDIENCE)) return null;
  const url = URL.parse(text);
  if (url === null || !isConfidential(url)) return null;
  const known = keySets.get(url.href) ?? createRemoteJWKSet(url, { timeoutDuration: KEY_SET_TIMEOUT_MS });
  keySets.set(url.href, known);
  return known;
}

/** Whoever can alter the keys on their way can be any user. */
function isConfidential(url: URL): boolean {
  return url.protocol === "https:" || (url.protocol === "http:" && ["localhost", "127.0.0.1"].includes(url.hostname));
}

function isGiven(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}
