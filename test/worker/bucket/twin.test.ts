import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { refreshNow } from "../../../src/bucket/isolate-service";
import { CLOSED, newWorld, pattern, type World } from "./world";

/** One object in R2, its twin in the queue: whatever is asked of them, both answer alike. */
const bytes = pattern(3_000);
const options: R2PutOptions = {
  httpMetadata: { contentType: "text/plain", cacheControl: "no-store", cacheExpiry: new Date("2030-01-01T00:00:00Z") },
  customMetadata: { one: "1", Two: "ä" },
};
let world: World;
let etag = "";

beforeAll(async () => {
  world = newWorld();
  const inR2 = await env.R2_BUCKET.put("twin", bytes, options);
  etag = inR2?.etag ?? "";
  const open = { ...CLOSED, state: "OPEN" } as const;
  world.change({ circuits: { read: open, write: open } });
  await refreshNow(world.env, "R2_STORAGE");
  const outcome = await world.bucket().write("twin", bytes, options);
  expect(outcome.kind).toBe("queued");
});

type Answer = { error: string } | { object: unknown; body: Uint8Array | null };

async function answerOf(get: Promise<R2Object | R2ObjectBody | null>): Promise<Answer> {
  let object: R2Object | R2ObjectBody | null;
  try {
    object = await get;
  } catch (error) {
    return { error: String(error) };
  }
  if (object === null) return { object: null, body: null };
  const { key, size, etag: tag, httpEtag, range, httpMetadata, customMetadata } = object;
  const headers = new Headers();
  object.writeHttpMetadata(headers);
  return {
    object: {
      ...{ key, size, tag, httpEtag, range, httpMetadata, customMetadata, headers: [...headers] },
      checksums: object.checksums.toJSON(),
    },
    body: "body" in object ? await object.bytes() : null,
  };
}

const both = async (get: R2GetOptions) => ({
  queued: await answerOf(world.bucket().get("twin", get)),
  primary: await answerOf(env.R2_BUCKET.get("twin", get)),
});

const header = (range: string) => new Headers({ range });

describe("a queued object answers like R2's", () => {
  test.each<{ range: R2Range | Headers | undefined }>([
    { range: undefined },
    { range: { offset: 0 } },
    { range: { offset: 2_999 } },
    { range: { offset: 3_000 } },
    { range: { offset: 3_001 } },
    { range: { offset: 10, length: 20 } },
    { range: { offset: 2_990, length: 20 } },
    { range: { length: 0 } },
    { range: { length: 5 } },
    { range: { suffix: 0 } },
    { range: { suffix: 5 } },
    { range: { suffix: 5_000 } },
    { range: { offset: -1 } },
    { range: { offset: 0.5 } },
    { range: { offset: 1, suffix: 1 } as R2Range },
    ...["bytes=0-0", "bytes=5-", "bytes=-5", "bytes=2999-5000", "bytes=3000-", "bytes=-5000", "bytes=-3000"].map(
      (range) => ({ range: header(range) }),
    ),
    ...["bytes=-0", "bytes=9-1", "bytes=0-1,2-3", "bytes=", "items=0-1", "bytes=a-b", " bytes = 1 - 2 "].map(
      (range) => ({ range: header(range) }),
    ),
  ])("over the range $range", async ({ range }) => {
    const { queued, primary } = await both(range === undefined ? {} : { range });
    expect(queued).toEqual(primary);
  });

  const past = new Date(Date.now() - 3_600_000);
  const future = new Date(Date.now() + 3_600_000);
  const conditions: { name: string; onlyIf: () => R2Conditional | Headers }[] = [
    { name: "nothing", onlyIf: () => ({}) },
    { name: "its etag", onlyIf: () => ({ etagMatches: etag }) },
    { name: "another etag", onlyIf: () => ({ etagMatches: "0".repeat(32) }) },
    { name: "any etag", onlyIf: () => ({ etagMatches: "*" }) },
    { name: "not its etag", onlyIf: () => ({ etagDoesNotMatch: etag }) },
    { name: "not any etag", onlyIf: () => ({ etagDoesNotMatch: "*" }) },
    { name: "a quoted etag", onlyIf: () => ({ etagMatches: `"${etag}"` }) },
    ...[past, future].flatMap((date) => [
      { name: `before ${date.toISOString()}`, onlyIf: () => ({ uploadedBefore: date }) },
      { name: `after ${date.toISOString()}`, onlyIf: () => ({ uploadedAfter: date }) },
      { name: "its etag, and a date before", onlyIf: () => ({ etagMatches: etag, uploadedBefore: date }) },
      { name: "another etag, and a date before", onlyIf: () => ({ etagMatches: "x", uploadedBefore: date }) },
      { name: "not another etag, and a date after", onlyIf: () => ({ etagDoesNotMatch: "x", uploadedAfter: date }) },
      { name: "not its etag, and a date after", onlyIf: () => ({ etagDoesNotMatch: etag, uploadedAfter: date }) },
      { name: "a header's date", onlyIf: () => new Headers({ "if-modified-since": date.toUTCString() }) },
      { name: "a header's date", onlyIf: () => new Headers({ "if-unmodified-since": date.toUTCString() }) },
    ]),
    ...["if-match", "if-none-match"].flatMap((name) =>
      [
        () => `"${etag}"`,
        () => `W/"${etag}"`,
        () => `"x", "${etag}"`,
        () => "*",
        () => '"x"',
        () => '"x',
        () => "x",
      ].map((value) => ({ name: `${name}: ${value()}`, onlyIf: () => new Headers({ [name]: value() }) })),
    ),
    { name: "no conditional header", onlyIf: () => new Headers({ "content-type": "a/b" }) },
  ];
  test.each(conditions)("under the condition $name", async ({ onlyIf }) => {
    const { queued, primary } = await both({ onlyIf: onlyIf() });
    expect(queued).toEqual(primary);
  });

  test("in a head", async () => {
    const queued = await answerOf(world.bucket().head("twin"));
    expect(queued).toEqual(await answerOf(env.R2_BUCKET.head("twin")));
  });

  test("and its body can be used once", async () => {
    const object = await world.bucket().get("twin");
    await object?.text();
    expect(object?.bodyUsed).toBe(true);
    await expect(object?.text()).rejects.toThrow(TypeError);
    expect((await (await world.bucket().get("twin"))?.blob())?.type).toBe("text/plain");
  });
});
