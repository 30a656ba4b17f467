import { describe, expect, it, test } from "vitest";
import {
  type ClassifiedObject,
  type ClassifiedOperation,
  classifyObject,
  fenceDate,
  fingerprintOf,
  fingerprintOfParts,
} from "../../../src/bucket/ledger";
import type { Ledger } from "../../../src/shared/protocol";

const BASE = {
  etag: "5d41402abc4b2a76b9719d911017c592",
  size: 5,
  httpMetadata: { contentType: "text/plain", cacheExpiry: new Date(1_000) },
  customMetadata: { a: "1", b: "2" },
};

const UNSET = { contentLanguage: undefined } as unknown as R2HTTPMetadata;

describe("fingerprint", () => {
  test.each([
    { rule: "the order of metadata", other: { ...BASE, customMetadata: { b: "2", a: "1" } } },
    {
      rule: "fields that are set to undefined",
      other: { ...BASE, httpMetadata: { ...BASE.httpMetadata, ...UNSET } },
    },
    {
      rule: "the object that a date is",
      other: { ...BASE, httpMetadata: { ...BASE.httpMetadata, cacheExpiry: new Date(1_000) } },
    },
  ])("does not depend on $rule", ({ other }) => {
    expect(fingerprintOf(other)).toBe(fingerprintOf(BASE));
  });

  it("takes absent metadata for empty metadata", () => {
    const { etag, size } = BASE;
    expect(fingerprintOf({ etag, size })).toBe(fingerprintOf({ etag, size, httpMetadata: {}, customMetadata: {} }));
  });

  test.each([
    { rule: "other bytes", other: { ...BASE, etag: "900150983cd24fb0d6963f7d28e17f72" } },
    { rule: "another size", other: { ...BASE, size: 6 } },
    {
      rule: "another content type",
      other: { ...BASE, httpMetadata: { ...BASE.httpMetadata, contentType: "text/html" } },
    },
    {
      rule: "another expiry",
      other: { ...BASE, httpMetadata: { ...BASE.httpMetadata, cacheExpiry: new Date(1_001) } },
    },
    { rule: "another custom value", other: { ...BASE, customMetadata: { a: "1", b: "3" } } },
    { rule: "a custom entry less", other: { ...BASE, customMetadata: { a: "1" } } },
    { rule: "values that change their names", other: { ...BASE, customMetadata: { a: "2", b: "1" } } },
    {
      rule: "custom metadata instead of HTTP metadata",
      other: { ...BASE, httpMetadata: {}, customMetadata: { ...BASE.customMetadata, contentType: "text/plain" } },
    },
  ])("tells apart $rule", ({ other }) => {
    expect(fingerprintOf(other)).not.toBe(fingerprintOf(BASE));
  });

  it("shows no metadata in clear", () => {
    const print = fingerprintOf({ ...BASE, customMetadata: { patient: "Jane Roe" } });
    expect(print).toMatch(/^[0-9a-f]{32}:5:[0-9a-f]{16}$/);
  });
});

describe("who wrote what R2 holds", () => {
  const FENCE = 1_000_000;
  const operation = (changes: Partial<ClassifiedOperation> = {}): ClassifiedOperation => ({
    fenceAt: FENCE,
    firstCallAt: null,
    fingerprint: "mine",
    ...changes,
  });
  const object = (fingerprint: string, uploaded: number, version = "v-other"): ClassifiedObject => ({
    version,
    uploaded: new Date(uploaded),
    fingerprint,
  });
  const ledger = (changes: Partial<Ledger> = {}): Ledger => ({
    appliedVersions: [],
    unknownPuts: [],
    clockOffsetMs: 0,
    ...changes,
  });
  const SENT = { firstCallAt: FENCE + 500 };
  const LATE = { unknownPuts: [{ fingerprint: "lost", startedAt: FENCE - 500 }] };

  test.each([
    { rule: "nothing is absent", op: operation(), seen: null, known: ledger(), is: "absent" },
    {
      rule: "nothing is absent, whatever is remembered",
      op: operation(SENT),
      seen: null,
      known: ledger(LATE),
      is: "absent",
    },
    {
      rule: "what was there before is older",
      op: operation(),
      seen: object("x", FENCE - 1),
      known: ledger(),
      is: "older",
    },
    {
      rule: "what came at the fence is newer",
      op: operation(),
      seen: object("x", FENCE),
      known: ledger(),
      is: "newer",
    },
    {
      rule: "its own bytes after its own call are its own",
      op: operation(SENT),
      seen: object("mine", FENCE + 501),
      known: ledger(),
      is: "ours",
    },
    {
      rule: "its own bytes are not its own when no call carried them yet",
      op: operation(),
      seen: object("mine", FENCE + 501),
      known: ledger(),
      is: "newer",
    },
    {
      rule: "equal bytes from long before its own call are somebody else's",
      op: operation(SENT),
      seen: object("mine", FENCE - 501),
      known: ledger(),
      is: "older",
    },
    {
      rule: "clocks that differ by less than a second do not disown it",
      op: operation(SENT),
      seen: object("mine", FENCE + 500 - 1_000),
      known: ledger(),
      is: "ours",
    },
    {
      rule: "a version that the queue wrote is an earlier one of ours, however new",
      op: operation(),
      seen: object("x", FENCE + 9, "v-applied"),
      known: ledger({ appliedVersions: ["v-applied"] }),
      is: "ours_earlier",
    },
    {
      rule: "a call that was given up, and that we know of, has landed late",
      op: operation(),
      seen: object("lost", FENCE + 9),
      known: ledger(LATE),
      is: "late_landing",
    },
    {
      rule: "the same bytes from before that call are no late landing",
      op: operation(),
      seen: object("lost", FENCE - 5_000),
      known: ledger(LATE),
      is: "older",
    },
    {
      rule: "a completion of which only the number of parts is known has landed late",
      op: operation(),
      seen: object("0123abcd-12:99:hash", FENCE + 9),
      known: ledger({ unknownPuts: [{ fingerprint: fingerprintOfParts(12), startedAt: FENCE - 500 }] }),
      is: "late_landing",
    },
    {
      rule: "an object of another number of parts is no such completion",
      op: operation(),
      seen: object("0123abcd-12:99-2:hash-2", FENCE + 9),
      known: ledger({ unknownPuts: [{ fingerprint: fingerprintOfParts(2), startedAt: FENCE - 500 }] }),
      is: "newer",
    },
    {
      rule: "an object of one put is no completion",
      op: operation({ fingerprint: fingerprintOfParts(1), firstCallAt: FENCE }),
      seen: object("0123abcd:1:hash", FENCE + 9),
      known: ledger(),
      is: "newer",
    },
    {
      rule: "a delete has no bytes: a write after it is newer",
      op: operation({ fingerprint: null, firstCallAt: FENCE }),
      seen: object("x", FENCE + 9),
      known: ledger(),
      is: "newer",
    },
    {
      rule: "R2's clock ahead of ours makes nothing newer",
      op: operation(),
      seen: object("x", FENCE + 2_999),
      known: ledger({ clockOffsetMs: 3_000 }),
      is: "older",
    },
    {
      rule: "R2's clock behind ours makes nothing older",
      op: operation(),
      seen: object("x", FENCE - 3_000),
      known: ledger({ clockOffsetMs: -3_000 }),
      is: "newer",
    },
  ] as const)("$rule", ({ op, seen, known, is }) => {
    expect(classifyObject(op, seen, known)).toBe(is);
  });

  it("gives R2 the fence in R2's own clock", () => {
    expect(fenceDate(FENCE, 250).getTime()).toBe(FENCE + 250);
  });
});
