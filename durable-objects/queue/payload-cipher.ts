/**
 * AES-256-GCM for payload chunks and metadata at rest (NIST SP 800-38D, random 96-bit IVs). The additional data is the
 * operation id and the chunk's number, so that rows cannot be swapped. Without a key everything is stored in clear.
 */
import { FailoverError } from "../../src/shared/errors";

const IV_BYTES = 12;

interface Key {
  readonly id: string;
  readonly key: CryptoKey;
}

/** The key that a row names is not configured. The operation is held, never failed: the key may come back. */
export class MissingKeyError extends Error {
  constructor(readonly keyId: string) {
    super(`PAYLOAD_ENCRYPTION_KEY "${keyId}" is not configured. Add it to PAYLOAD_ENCRYPTION_KEY_PREVIOUS.`);
  }
}

/** A stored payload or its metadata is not what was stored: rows are missing or were altered. No retry mends that. */
export class PayloadError extends Error {
  constructor(operationId: string, cause?: unknown) {
    super(`The payload of ${operationId} is not whole.`, { cause });
  }
}

export class PayloadCipher {
  readonly #keys: Promise<readonly Key[]>;
  readonly encrypts: boolean;

  /** `current` and `previous` as in the environment: `[<key id>:]<base64 of 32 bytes>`, previous ones comma-separated. */
  constructor(current: string | undefined, previous: string | undefined) {
    this.encrypts = Boolean(current);
    const texts = [current ?? "", ...(previous ?? "").split(",")].filter((text) => text.trim() !== "");
    this.#keys = Promise.all(texts.map(importKey));
    // A malformed key is reported by the call that needs it, not as an unhandled rejection.
    this.#keys.catch(() => undefined);
  }

  /** The id of the key that `seal` uses, or null when it stores in clear. */
  async keyId(): Promise<string | null> {
    return this.encrypts ? ((await this.#keys)[0]?.id ?? null) : null;
  }

  async seal(bytes: Uint8Array, operationId: string, part: number | "metadata"): Promise<Uint8Array> {
    const key = this.encrypts ? (await this.#keys)[0] : undefined;
    if (key === undefined) return bytes;
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const sealed = await crypto.subtle.encrypt(parameters(iv, operationId, part), key.key, bytes);
    const row = new Uint8Array(IV_BYTES + sealed.byteLength);
    row.set(iv);
    row.set(new Uint8Array(sealed), IV_BYTES);
    return row;
  }

  /** Throws `MissingKeyError`, or `PayloadError` when the row was altered or belongs elsewhere. */
  async open(
    row: Uint8Array,
    keyId: string | null,
    operationId: string,
    part: number | "metadata",
  ): Promise<Uint8Array> {
    if (keyId === null) return row;
    const key = (await this.#keys).find(({ id }) => id === keyId);
    if (key === undefined) throw new MissingKeyError(keyId);
    const iv = row.subarray(0, IV_BYTES);
    try {
      const sealed = row.subarray(IV_BYTES);
      return new Uint8Array(await crypto.subtle.decrypt(parameters(iv, operationId, part), key.key, sealed));
    } catch (cause) {
      throw new PayloadError(operationId, cause);
    }
  }

  /** Text for a TEXT column: base64 when it is encrypted. */
  async sealText(text: string, operationId: string): Promise<string> {
    if (!this.encrypts) return text;
    return toBase64(await this.seal(new TextEncoder().encode(text), operationId, "metadata"));
  }

  async openText(text: string, keyId: string | null, operationId: string): Promise<string> {
    if (keyId === null) return text;
    return new TextDecoder().decode(await this.open(fromBase64(text), keyId, operationId, "metadata"));
  }
}

function parameters(iv: Uint8Array, operationId: string, part: number | "metadata"): SubtleCryptoEncryptAlgorithm {
  return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(`${operationId}#${part}`) };
}

async function importKey(text: string): Promise<Key> {
  const match = /^(?:([\w.-]+):)?([A-Za-z0-9+/]{43}=)$/.exec(text.trim());
  if (match?.[2] === undefined) {
    throw new FailoverError(
      "INVALID_REQUEST",
      "PAYLOAD_ENCRYPTION_KEY must be the base64 of 32 bytes, with an optional <key id>: before it.",
    );
  }
  const bytes = fromBase64(match[2]);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const key = await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
  return { id: match[1] ?? hex(digest.subarray(0, 4)), key };
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
