import type { z } from "zod";
import { FailoverError } from "../shared/errors";

/** Bodies of the JSON calls. */
const MAX_JSON_BYTES = 64 * 1024;

/**
 * The request's JSON body, checked. An empty body counts as `{}`. Throws `INVALID_REQUEST` with a sentence that names
 * the field, or `PAYLOAD_TOO_LARGE`.
 */
export async function readJson<S extends z.ZodType>(
  request: Request,
  schema: S,
  maxBytes = MAX_JSON_BYTES,
): Promise<z.output<S>> {
  const text = await readText(request, maxBytes);
  let value: unknown;
  try {
    value = text.trim() === "" ? {} : JSON.parse(text);
  } catch (cause) {
    throw new FailoverError("INVALID_REQUEST", "The body is not JSON.", { cause });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? "The body" : issue.path.join(".");
  throw new FailoverError("INVALID_REQUEST", `${field}: ${issue?.message ?? "is not valid"}.`);
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  const bytes = await readUpTo(request.body, maxBytes);
  if (bytes === null) {
    throw new FailoverError("PAYLOAD_TOO_LARGE", `The body is larger than ${maxBytes / 1024} KiB.`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (cause) {
    throw new FailoverError("INVALID_REQUEST", "The body is not UTF-8.", { cause });
  }
}

/** All bytes of a body, or null once there are more than `limit`. Throws `INVALID_REQUEST` when it breaks off. */
export async function readUpTo(body: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array | null> {
  if (body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw brokenBody(cause);
    });
    if (done) break;
    size += value.byteLength;
    if (size > limit) {
      await reader.cancel().catch(() => undefined);
      return null;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

export function brokenBody(cause: unknown): FailoverError {
  return new FailoverError("INVALID_REQUEST", "The request body broke off before its end. Nothing was stored.", {
    cause,
  });
}

/** A whole number out of the query. Throws `INVALID_REQUEST` outside of the bounds. */
export function wholeNumber(
  text: string | null,
  name: string,
  bounds: { readonly otherwise: number; readonly minimum: number; readonly maximum: number },
): number {
  if (text === null || text === "") return bounds.otherwise;
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value < bounds.minimum || value > bounds.maximum) {
    throw new FailoverError(
      "INVALID_REQUEST",
      `${name} must be a whole number from ${bounds.minimum} to ${bounds.maximum}.`,
    );
  }
  return value;
}

/** `true` or `false` out of the query; left out is false. Throws `INVALID_REQUEST`. */
export function flag(value: string | null, name: string): boolean {
  if (value === null || value === "" || value === "false") return false;
  if (value === "true") return true;
  throw new FailoverError("INVALID_REQUEST", `${name} must be true or false.`);
}

/** Percent-decodes once, as UTF-8. Throws `INVALID_REQUEST` on a malformed escape; `what` says where it is. */
export function decodePart(text: string, what: "path" | "query" = "path"): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new FailoverError("INVALID_REQUEST", `The ${what} holds a percent escape that is not UTF-8.`, { cause });
  }
}
