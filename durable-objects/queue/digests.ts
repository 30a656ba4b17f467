import type { ChecksumAlgorithm, PutMetadata } from "../../src/shared/protocol";
import { chunksOf, type Payload } from "./payload";
import { hex } from "./payload-cipher";

/** Hex, MD5 always among them: it is the etag. */
export type Checksums = Readonly<Partial<Record<ChecksumAlgorithm, string>>> & { readonly md5: string };

const NAMES: Readonly<Record<ChecksumAlgorithm, string>> = {
  md5: "MD5",
  sha1: "SHA-1",
  sha256: "SHA-256",
  sha384: "SHA-384",
  sha512: "SHA-512",
};

/** MD5, and what the caller gave a checksum of. */
export function algorithmsOf(metadata: PutMetadata | null): ChecksumAlgorithm[] {
  const asked = metadata?.checksum?.algorithm ?? "md5";
  return asked === "md5" ? ["md5"] : ["md5", asked];
}

export interface OpenDigest {
  readonly algorithm: ChecksumAlgorithm;
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<string>;
}

export function openDigest(algorithm: ChecksumAlgorithm): OpenDigest {
  const stream = new crypto.DigestStream(NAMES[algorithm]);
  const writer = stream.getWriter();
  // Until it is closed a digest is nobody's concern: given up, it must not surface as an unhandled rejection.
  stream.digest.catch(() => undefined);
  return {
    algorithm,
    write: (bytes) => writer.write(bytes),
    close: async () => {
      await writer.close();
      return hex(new Uint8Array(await stream.digest));
    },
  };
}

export async function closeDigests(digests: readonly OpenDigest[]): Promise<Checksums> {
  return collect(digests.map(async ({ algorithm, close }) => [algorithm, await close()] as const));
}

export async function digestBytes(bytes: Uint8Array, algorithms: readonly ChecksumAlgorithm[]): Promise<Checksums> {
  return collect(
    algorithms.map(
      async (name) => [name, hex(new Uint8Array(await crypto.subtle.digest(NAMES[name], bytes)))] as const,
    ),
  );
}

/** The etag that R2 gives an object of several parts: the MD5 of their MD5s (hex), and their number. */
export async function multipartEtag(md5s: readonly string[]): Promise<string> {
  const joined = Uint8Array.from(md5s.join("").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  return `${hex(new Uint8Array(await crypto.subtle.digest("MD5", joined)))}-${md5s.length}`;
}

/** Hashes a payload without storing it: what a repeated enqueue is compared by. */
export async function digestPayload(payload: Payload): Promise<{ size: number; md5: string }> {
  const digest = openDigest("md5");
  let size = 0;
  for await (const chunk of chunksOf(payload)) {
    await digest.write(chunk);
    size += chunk.byteLength;
  }
  return { size, md5: await digest.close() };
}

async function collect(entries: Promise<readonly [ChecksumAlgorithm, string]>[]): Promise<Checksums> {
  const checksums: Partial<Record<ChecksumAlgorithm, string>> = Object.fromEntries(await Promise.all(entries));
  return { ...checksums, md5: checksums.md5 ?? "" };
}
