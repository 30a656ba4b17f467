/** Which objects a user reaches: those below a prefix of their own. */
import { FailoverError } from "../shared/errors";
import type { Call } from "./call";

const PLACEHOLDER = "{sub}/";

/**
 * The prefix of a user's objects. Throws `FORBIDDEN` when users reach none, or this one cannot, and
 * `AUTH_NOT_CONFIGURED` for a template in which two users could share a prefix.
 */
export function userPrefix(template: string | undefined, userId: string): string {
  if (template === undefined || template === "") {
    throw new FailoverError("FORBIDDEN", "Users reach no objects here: R2_USER_PREFIX is not set.");
  }
  const [before, after, ...rest] = template.split(PLACEHOLDER);
  if (before === undefined || after === undefined || rest.length > 0) {
    throw new FailoverError("AUTH_NOT_CONFIGURED", "R2_USER_PREFIX must hold {sub}/ once, as in users/{sub}/.");
  }
  // With a slash, one user's name would lie below another's.
  if (userId.includes("/") || userId === "." || userId === "..") {
    throw new FailoverError("FORBIDDEN", "A user whose id holds a slash, or is a dot segment, reaches no objects.");
  }
  return `${before}${userId}/${after}`;
}

/** Throws `FORBIDDEN` unless the caller may touch this key, or list this prefix. `name` is decoded, as R2 will have it. */
export function requireReach({ principal, env }: Call, name: string): void {
  if (principal.kind !== "user") return;
  const prefix = userPrefix(env.R2_USER_PREFIX, principal.userId);
  // To R2 a dot segment is text; to what reads the key as a path it may not be.
  const hasDotSegment = name.split(/[/\\]/).some((segment) => segment === "." || segment === "..");
  if (!name.startsWith(prefix) || hasDotSegment) {
    throw new FailoverError("FORBIDDEN", `This token reaches objects below ${prefix} only.`);
  }
}
