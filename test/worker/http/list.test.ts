/** Lists through the gateway while R2 is well; `outage.test.ts` has the others. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { listOptions } from "../../../src/http/r2-list";
import type { ObjectListRecord } from "../../../src/shared/records";
import { asGateway, send, verdict } from "./client";

async function get(query: string) {
  const response = await asGateway("GET", `/r2/${query}`);
  expect(response.status).toBe(200);
  const body = await response.json<ObjectListRecord>();
  return {
    body,
    source: response.headers.get("x-failover-source"),
    keys: body.objects.map(({ key }) => key).join(" "),
  };
}

beforeEach(async () => {
  const { objects } = await env.R2_BUCKET.list();
  await env.R2_BUCKET.delete(objects.map(({ key }) => key));
});

test("a list tells each object, with metadata where it is asked for", async () => {
  const stored = await env.R2_BUCKET.put("a.txt", "hello", {
    httpMetadata: { contentType: "text/plain", cacheExpiry: new Date("2099-01-01T00:00:00Z") },
    customMetadata: { Owner: "Zoë" },
  });
  const object = {
    key: "a.txt",
    size: 5,
    etag: "5d41402abc4b2a76b9719d911017c592",
    uploaded: stored?.uploaded.toISOString(),
    http_metadata: {},
    custom_metadata: {},
  };
  const list = { delimited_prefixes: [], truncated: false, cursor: null, partial: false };
  const plain = await get("");
  expect([plain.source, plain.body]).toEqual(["primary", { objects: [object], ...list }]);
  const { body } = await get("?include=http_metadata,custom_metadata");
  expect(body.objects).toEqual([
    {
      ...object,
      http_metadata: { content_type: "text/plain", cache_expiry: "2099-01-01T00:00:00.000Z" },
      custom_metadata: { Owner: "Zoë" },
    },
  ]);
  expect((await get("?include=custom_metadata")).body.objects[0]).toMatchObject({ http_metadata: {} });
});

describe("of many objects", () => {
  const KEYS = ["a", "a b/1", "a b/2", "c+d", "é/1", "💾"];

  beforeEach(async () => {
    for (const key of KEYS) await env.R2_BUCKET.put(key, key);
  });

  test("some are listed, by page, prefix and delimiter", async () => {
    const first = await get("?limit=2&delimiter=/");
    expect([first.keys, first.body.delimited_prefixes, first.body.truncated]).toEqual(["a", ["a b/"], true]);
    const rest = await get(`?delimiter=%2F&cursor=${encodeURIComponent(first.body.cursor ?? "")}`);
    expect([rest.keys, rest.body.delimited_prefixes, rest.body.truncated]).toEqual(["c+d 💾", ["é/"], false]);
  });

  test.each([
    ["?prefix=a%20b/", "a b/1 a b/2"],
    ["?prefix=a+b/", "a b/1 a b/2"],
    ["?prefix=c%2Bd", "c+d"],
    ["?prefix=c+d", ""],
    ["?prefix=%C3%A9", "é/1"],
    ["?prefix=é", "é/1"],
    ["?start_after=c%2Bd", "é/1 💾"],
    ["?limit=&prefix=&delimiter=&cursor=&start_after=&include=&allow_partial=", KEYS.join(" ")],
    ["?unknown=1&limit=1", "a"],
  ])("%s lists %j", async (query, keys) => {
    expect((await get(query)).keys).toBe(keys);
  });

  test("reserved ones are never listed", async () => {
    await env.R2_BUCKET.put(".r2-failover/canary-0", "x");
    expect((await get("?limit=1")).keys).toBe("a");
    expect((await get("?delimiter=/")).body.delimited_prefixes).toEqual(["a b/", "é/"]);
    expect((await get("?prefix=.r2-failover/")).keys).toBe("");
  });
});

test("a HEAD of a list has its headers, and no body", async () => {
  const response = await asGateway("HEAD", "/r2/?prefix=a");
  expect([response.status, response.body, response.headers.get("x-failover-source")]).toEqual([200, null, "primary"]);
});

test.each(["/r2", "/r2/", "/r2/?limit=1", "/r2?limit=1"])(
  "%s is a list, open to anyone where reads are",
  async (path) => {
    expect(await verdict(await send("GET", path))).toBe("401 UNAUTHORIZED");
    expect(await verdict(await send("GET", path, { env: { R2_PUBLIC_READ: "true" } }))).toBe("200");
  },
);

test("the query says what R2 is asked for", () => {
  const url = new URL(
    "http://x/r2/?prefix=p&delimiter=d&limit=5&cursor=c&start_after=s&include=http_metadata,custom_metadata&allow_partial=true",
  );
  expect(listOptions(url)).toEqual({
    prefix: "p",
    delimiter: "d",
    limit: 5,
    cursor: "c",
    startAfter: "s",
    include: ["httpMetadata", "customMetadata"],
    allowPartial: true,
  });
  expect(listOptions(new URL("http://x/r2/"))).toEqual({ limit: 1_000, include: [], allowPartial: false });
});
