import { type JWTPayload, SignJWT } from "jose";

const USER_SECRET = "dev-users";
const HOUR_S = 3_600;

export interface Minted {
  readonly claims?: JWTPayload;
  readonly secret?: string;
  readonly alg?: string;
  /** Seconds from now; null: it never expires. */
  readonly expiresIn?: number | null;
}

/** A user's token, as an application would make it. */
export function mint(
  sub: string,
  { claims = {}, secret = USER_SECRET, alg = "HS256", expiresIn = HOUR_S }: Minted = {},
) {
  const now = Math.floor(Date.now() / 1_000);
  const token = new SignJWT({ sub, ...claims }).setProtectedHeader({ alg });
  if (expiresIn !== null) token.setExpirationTime(now + expiresIn);
  return token.sign(new TextEncoder().encode(secret));
}

/** A token that signs nothing: the oldest trick. */
export function unsigned(sub: string): string {
  const part = (value: unknown) => btoa(JSON.stringify(value)).replace(/=+$/, "");
  return `${part({ alg: "none" })}.${part({ sub, exp: Math.floor(Date.now() / 1_000) + HOUR_S })}.`;
}
