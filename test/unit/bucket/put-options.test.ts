import { describe, expect, test } from "vitest";
import { checkKey, putMetadata, putOptions, ssecKeyHex } from "../../../src/bucket/put-options";

const HEX_16 = "000102030405060708090a0b0c0d0e0f";
const BYTES_16 = Uint8Array.from({ length: 16 }, (_, i) => i);

describe("put options in plain form", () => {
  test("nothing given is nothing stored", () => {
    expect(putMetadata({})).toEqual({
      httpMetadata: {},
      customMetadata: {},
      checksum: null,
      storageClass: null,
      ssecKey: null,
    });
  });

  test("headers give the same as fields", () => {
    const cacheExpiry = new Date("2026-03-01T12:00:00Z");
    const fields = {
      contentType: "text/plain",
      contentLanguage: "de",
      contentDisposition: "inline",
      contentEncoding: "gzip",
      cacheControl: "no-store",
      cacheExpiry,
    };
    const headers = new Headers({
      "content-type": "text/plain",
      "content-language": "de",
      "content-disposition": "inline",
      "content-encoding": "gzip",
      "cache-control": "no-store",
      expires: cacheExpiry.toUTCString(),
      "x-other": "not kept",
    });
    expect(putMetadata({ httpMetadata: fields }).httpMetadata).toEqual(fields);
    expect(putMetadata({ httpMetadata: headers }).httpMetadata).toEqual(fields);
  });

  test("unknown fields, undefined ones and live references are not kept", () => {
    const given = { contentType: "a/b", charset: "x", cacheControl: undefined } as unknown as R2HTTPMetadata;
    const { httpMetadata } = putMetadata({ httpMetadata: given });
    expect(httpMetadata).toEqual({ contentType: "a/b" });
    expect(Object.keys(httpMetadata)).toEqual(["contentType"]);
  });

  test.each<{ form: string; md5: string | ArrayBuffer | ArrayBufferView }>([
    { form: "hex", md5: HEX_16.toUpperCase() },
    { form: "a view", md5: BYTES_16 },
    { form: "a buffer", md5: BYTES_16.buffer },
    { form: "a view into a larger buffer", md5: new Uint8Array([9, ...BYTES_16, 9]).subarray(1, 17) },
  ])("a checksum as $form is kept as hex", ({ md5 }) => {
    expect(putMetadata({ md5 }).checksum).toEqual({ algorithm: "md5", hex: HEX_16 });
  });

  test("what is stored gives R2 the same options again", () => {
    const metadata = putMetadata({
      httpMetadata: { contentType: "text/plain" },
      customMetadata: { a: "1" },
      sha1: "00".repeat(20),
      storageClass: "InfrequentAccess",
      ssecKey: "ab".repeat(32),
    });
    expect(putOptions(metadata)).toEqual({
      httpMetadata: { contentType: "text/plain" },
      customMetadata: { a: "1" },
      sha1: "00".repeat(20),
      storageClass: "InfrequentAccess",
      ssecKey: "ab".repeat(32),
    });
    expect(putMetadata(putOptions(metadata))).toEqual(metadata);
  });

  test.each<{ what: string; options: R2PutOptions; error: Error }>([
    {
      what: "two checksums",
      options: { md5: HEX_16, sha1: "00".repeat(20) },
      error: new TypeError("You cannot specify multiple hashing algorithms."),
    },
    { what: "a short md5", options: { md5: "00" }, error: new TypeError("MD5 is 32 hex characters, not 2") },
    {
      what: "an md5 that is no hex",
      options: { md5: "zz".repeat(16) },
      error: new TypeError("Provided MD5 wasn't a valid hex string"),
    },
    {
      what: "a sha256 of too few bytes",
      options: { sha256: BYTES_16 },
      error: new TypeError("SHA-256 is 32 bytes, not 16"),
    },
    {
      what: "metadata over 8,192 bytes",
      options: { customMetadata: { k: "x".repeat(8_192) } },
      error: new Error("put: Your metadata headers exceed the maximum allowed metadata size. (10012)"),
    },
    { what: "a short SSE-C key", options: { ssecKey: "ab" }, error: new Error("SSE-C Key must be 32 bytes in length") },
    {
      what: "an SSE-C key that is no hex",
      options: { ssecKey: "X".repeat(64) },
      error: new Error("SSE-C Key has invalid format"),
    },
  ])("$what is refused in R2's words", ({ options, error }) => {
    expect(() => putMetadata(options)).toThrow(error);
  });
});

test("an SSE-C key as bytes is kept as hex", () => {
  expect(ssecKeyHex(new Uint8Array(32).fill(0xab).buffer)).toBe("ab".repeat(32));
});

describe("a key", () => {
  test.each(["a", "k".repeat(1_024), "ä".repeat(512), "emoji 🎉"])("%s is valid", (key) => {
    expect(() => checkKey("put", key)).not.toThrow();
  });

  test.each([
    ["empty", ""],
    ["1,025 bytes", "k".repeat(1_025)],
    ["1,026 bytes in 513 characters", "ä".repeat(513)],
    ["half a surrogate pair", "a\ud83cb"],
  ])("that is %s is refused in R2's words", (_, key) => {
    expect(() => checkKey("delete", key)).toThrow("delete: The specified object name is not valid. (10020)");
  });
});
