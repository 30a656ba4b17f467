import { describe, expect, test } from "vitest";
import { cacheUrl, entryHeaders, parseEntry } from "../../../src/bucket/cache-entry";

const object = (changes: Partial<R2Object> = {}): R2Object => ({
  key: "a/ä",
  version: "v1",
  size: 3,
  etag: "900150983cd24fb0d6963f7d28e17f72",
  httpEtag: '"900150983cd24fb0d6963f7d28e17f72"',
  checksums: { toJSON: () => ({ md5: "900150983cd24fb0d6963f7d28e17f72" }) },
  uploaded: new Date(1_700_000_000_123),
  storageClass: "Standard",
  writeHttpMetadata: () => undefined,
  ...changes,
});

describe("an entry's headers", () => {
  test("say all of the object, and when it was read", () => {
    const written = object({
      httpMetadata: { contentType: "text/plain; x=ü", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
      customMetadata: { cacheExpiry: "a date of the caller's own", 日本: "\u{1F980} \r\n\u0000\u007f", quote: '"\\' },
    });
    const entry = parseEntry(new Headers(entryHeaders(written, 1_700_000_009_000)));
    expect(entry).toEqual({
      readAt: 1_700_000_009_000,
      facts: {
        key: "a/ä",
        version: "v1",
        size: 3,
        etag: written.etag,
        uploaded: 1_700_000_000_123,
        checksums: { md5: written.etag },
        httpMetadata: written.httpMetadata,
        customMetadata: written.customMetadata,
        storageClass: "Standard",
      },
    });
  });

  test("of an object without metadata come back without any", () => {
    const entry = parseEntry(new Headers(entryHeaders(object(), 0)));
    expect(entry?.facts).toMatchObject({ httpMetadata: {}, customMetadata: {} });
    expect(entry?.facts.httpMetadata).not.toHaveProperty("cacheExpiry");
  });

  test("let nothing live for more than a day", () => {
    expect(entryHeaders(object(), 0)["cache-control"]).toBe("max-age=86400");
  });

  test("of somebody else's response are no entry", () => {
    expect(parseEntry(new Headers({ "cache-control": "max-age=86400" }))).toBeNull();
  });
});

test("no two keys share an entry, however a URL would read them", () => {
  const keys = [
    "a",
    "A",
    "a/",
    "/a",
    "a/b",
    "a%2Fb",
    "a/../a",
    ".",
    "..",
    "%2e",
    "a b",
    "a+b",
    "a&key=b",
    "a#b",
    "a?b",
    "ä",
    "a\u0308",
  ];
  const urls = keys.flatMap((key) =>
    ["R2_STORAGE", "OTHER&key=a"].map((service) => new URL(cacheUrl(service, key)).href),
  );
  expect(new Set(urls).size).toBe(urls.length);
});
