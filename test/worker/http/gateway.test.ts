import { env, exports } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { asGateway, GATEWAY, verdict } from "./client";

const encoder = new TextEncoder();
const hex = (bytes: ArrayBuffer) =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const base64 = (bytes: ArrayBuffer) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const md5 = (text: string) => crypto.subtle.digest("MD5", encoder.encode(text));

test("a PUT answers 200 with key, etag, size and version once the bytes are in R2", async () => {
  const response = await asGateway("PUT", "/r2/put/plain.txt", { body: "hello" });
  expect(response.status).toBe(200);
  const stored = await env.R2_BUCKET.head("put/plain.txt");
  expect(await response.json()).toEqual({
    success: true,
    queued: false,
    key: "put/plain.txt",
    etag: hex(await md5("hello")),
    size: 5,
    version: stored?.version,
  });
});

test("an object comes back with its bytes, its metadata as headers, and where it was read", async () => {
  const headers = {
    "content-type": "text/csv",
    "content-language": "de",
    "content-disposition": 'attachment; filename="a.csv"',
    "cache-control": "max-age=60",
    expires: "Thu, 01 Jan 2099 00:00:00 GMT",
    "x-amz-meta-owner": "Zoë",
    "x-amz-meta-Case": "kept in lower case",
  };
  await asGateway("PUT", "/r2/meta.csv", { body: "a;b", headers });
  const response = await asGateway("GET", "/r2/meta.csv");
  expect(await response.text()).toBe("a;b");
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "text/csv",
    "content-language": "de",
    "content-disposition": 'attachment; filename="a.csv"',
    "cache-control": "max-age=60",
    expires: "Thu, 01 Jan 2099 00:00:00 GMT",
    "x-amz-meta-owner": "Zoë",
    "x-amz-meta-case": "kept in lower case",
    "accept-ranges": "bytes",
    "x-failover-source": "primary",
    etag: `"${hex(await md5("a;b"))}"`,
    "last-modified": (await env.R2_BUCKET.head("meta.csv"))?.uploaded.toUTCString(),
  });
});

test("metadata that no header can hold is left out and counted, and the object is served", async () => {
  await env.R2_BUCKET.put("odd-meta", "x", { customMetadata: { "a b": "1", line: "1\n2", fine: "yes" } });
  const response = await asGateway("GET", "/r2/odd-meta");
  expect(await response.text()).toBe("x");
  expect(response.headers.get("x-amz-meta-fine")).toBe("yes");
  expect(response.headers.get("x-amz-missing-meta")).toBe("2");
});

test("HEAD has the headers of GET, the length, and no body", async () => {
  await asGateway("PUT", "/r2/head.txt", { body: "12345", headers: { "content-type": "text/plain" } });
  const response = await asGateway("HEAD", "/r2/head.txt");
  expect(response.status).toBe(200);
  expect(response.body).toBeNull();
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-length": "5",
    "content-type": "text/plain",
    "accept-ranges": "bytes",
    "x-failover-source": "primary",
  });
});

test("an empty body is an object of no bytes", async () => {
  expect(await verdict(await asGateway("PUT", "/r2/empty", { body: "" }))).toBe("200");
  expect(await verdict(await asGateway("PUT", "/r2/no-body"))).toBe("200");
  for (const key of ["empty", "no-body"]) {
    const response = await asGateway("GET", `/r2/${key}`);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  }
});

test("a DELETE answers 204, and again for a key that is gone", async () => {
  await env.R2_BUCKET.put("gone", "x");
  expect(await verdict(await asGateway("DELETE", "/r2/gone"))).toBe("204");
  expect(await env.R2_BUCKET.head("gone")).toBeNull();
  expect(await verdict(await asGateway("DELETE", "/r2/gone"))).toBe("204");
  expect(await verdict(await asGateway("GET", "/r2/gone"))).toBe("404 NOT_FOUND");
});

test.each([
  ["spaces and signs", "a b+c&d=e.txt"],
  ["a question mark and a hash", "what?#now"],
  ["a percent sign", "100%25"],
  ["double slashes and one at the end", "a//b/"],
  ["dot segments", "a/../b/./c"],
  ["composed and decomposed letters", "é-e\u0301"],
  ["four bytes of UTF-8", "💾/世界"],
  ["a colon and quotes", `c:"d"'`],
  ["1,024 bytes", "é".repeat(512)],
])("a key with %s makes the round trip", async (_, key) => {
  const path = `/r2/${encodeURIComponent(key)}`;
  expect(await verdict(await asGateway("PUT", path, { body: key }))).toBe("200");
  expect(await (await env.R2_BUCKET.get(key))?.text()).toBe(key);
  expect(await (await asGateway("GET", path)).text()).toBe(key);
  expect(await verdict(await asGateway("DELETE", path))).toBe("204");
  expect(await env.R2_BUCKET.head(key)).toBeNull();
});

test("a body over 1 MiB is streamed to R2 by its Content-Length", async () => {
  const bytes = new Uint8Array(3 * 1024 * 1024);
  for (let at = 0; at < bytes.length; at += 4_096) bytes[at] = at / 4_096;
  const headers = { "content-length": String(bytes.length) };
  const response = await asGateway("PUT", "/r2/large.bin", { body: bytes, headers });
  const { etag } = await response.json<{ etag: string }>();
  expect(etag).toBe(hex(await crypto.subtle.digest("MD5", bytes)));
  const read = await asGateway("GET", "/r2/large.bin");
  expect(hex(await crypto.subtle.digest("MD5", await read.arrayBuffer()))).toBe(etag);
});

test("a short body need not say its length", async () => {
  const body = new Blob(["streamed"]).stream();
  expect(await verdict(await asGateway("PUT", "/r2/chunked", { body }))).toBe("200");
  expect(await (await env.R2_BUCKET.get("chunked"))?.text()).toBe("streamed");
});

test("Content-MD5 is checked by R2", async () => {
  const right = { "content-md5": base64(await md5("checked")) };
  expect(await verdict(await asGateway("PUT", "/r2/md5", { body: "checked", headers: right }))).toBe("200");
  const wrong = await asGateway("PUT", "/r2/md5", { body: "other", headers: right });
  expect(wrong.status).toBe(400);
  expect(await wrong.json()).toMatchObject({ code: "R2_ERROR", r2_code: 10037 });
  expect(await (await env.R2_BUCKET.get("md5"))?.text()).toBe("checked");
});

describe("a range", () => {
  const path = "/r2/ten";
  const get = async (headers: Record<string, string>) => {
    await env.R2_BUCKET.put("ten", "0123456789");
    return asGateway("GET", path, { headers });
  };

  test.each([
    ["bytes=0-3", "0123", "bytes 0-3/10"],
    ["bytes=8-", "89", "bytes 8-9/10"],
    ["bytes=-2", "89", "bytes 8-9/10"],
    ["bytes=-99", "0123456789", "bytes 0-9/10"],
    ["bytes=5-99", "56789", "bytes 5-9/10"],
  ])("%s answers 206 with %s", async (range, text, contentRange) => {
    const response = await get({ range });
    expect(response.status).toBe(206);
    expect(await response.text()).toBe(text);
    expect(response.headers.get("content-range")).toBe(contentRange);
  });

  test.each(["bytes=0-1,4-5", "bytes=4-2", "lines=0-1"])("%s is ignored: the whole object, 200", async (range) => {
    const response = await get({ range });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("0123456789");
  });

  test.each(["bytes=10-", "bytes=99-100", "bytes=-0"])("%s is beyond the object: 416 with its size", async (range) => {
    const response = await get({ range });
    expect(response.headers.get("content-range")).toBe("bytes */10");
    expect(await verdict(response)).toBe("416 RANGE_NOT_SATISFIABLE");
  });

  test("is served while If-Range still names the object, else the whole is", async () => {
    const etag = (await env.R2_BUCKET.put("ten", "0123456789"))?.httpEtag ?? "";
    const same = await asGateway("GET", path, { headers: { range: "bytes=0-1", "if-range": etag } });
    expect([same.status, await same.text()]).toEqual([206, "01"]);
    const changed = await asGateway("GET", path, { headers: { range: "bytes=0-1", "if-range": '"old"' } });
    expect([changed.status, await changed.text()]).toEqual([200, "0123456789"]);
  });

  test("of a HEAD is ignored", async () => {
    await env.R2_BUCKET.put("ten", "0123456789");
    const response = await asGateway("HEAD", path, { headers: { range: "bytes=0-1" } });
    expect([response.status, response.headers.get("content-length")]).toEqual([200, "10"]);
  });
});

describe("preconditions", () => {
  const past = "Sat, 01 Jan 2000 00:00:00 GMT";
  const future = "Thu, 01 Jan 2099 00:00:00 GMT";
  const etag = '"9a0364b9e99bb480dd25e1f0284c8555"';

  test.each<[Record<string, string>, number]>([
    [{ "if-none-match": etag }, 304],
    [{ "if-none-match": `W/${etag}` }, 304],
    [{ "if-none-match": "*" }, 304],
    [{ "if-none-match": '"other"' }, 200],
    [{ "if-modified-since": future }, 304],
    [{ "if-modified-since": past }, 200],
    [{ "if-match": etag }, 200],
    [{ "if-match": '"other"' }, 412],
    [{ "if-unmodified-since": past }, 412],
    [{ "if-unmodified-since": future }, 200],
    [{ "if-match": '"other"', "if-none-match": etag }, 412],
    [{ "if-none-match": '"other"', "if-modified-since": future }, 200],
  ])("%o: %i, the same for GET and HEAD", async (headers, status) => {
    await env.R2_BUCKET.put("conditional", "content");
    for (const method of ["GET", "HEAD"]) {
      const response = await asGateway(method, "/r2/conditional", { headers });
      expect([method, response.status]).toEqual([method, status]);
      if (status === 304) expect(response.headers.get("etag")).toBe(etag);
      await response.body?.cancel();
    }
  });

  test("of a PUT decide whether it is written", async () => {
    await env.R2_BUCKET.put("cas", "one");
    const created = await asGateway("PUT", "/r2/cas", { body: "two", headers: { "if-none-match": "*" } });
    expect(await verdict(created)).toBe("412 PRECONDITION_FAILED");
    const current = (await env.R2_BUCKET.head("cas"))?.httpEtag ?? "";
    const replaced = await asGateway("PUT", "/r2/cas", { body: "three", headers: { "if-match": current } });
    expect(await verdict(replaced)).toBe("200");
    expect(await (await env.R2_BUCKET.get("cas"))?.text()).toBe("three");
  });

  test("say nothing about a key without an object", async () => {
    expect(await verdict(await asGateway("GET", "/r2/none", { headers: { "if-match": '"a"' } }))).toBe("404 NOT_FOUND");
  });
});

describe("over the wire", () => {
  const fetch = (path: string, init: RequestInit = {}) =>
    exports.default.fetch(
      new Request(`http://worker.test${path}`, {
        ...init,
        headers: { authorization: `Bearer ${GATEWAY}`, ...(init.headers as Record<string, string>) },
      }),
    );

  test("stored bytes that are encoded already are not encoded once more", async () => {
    const zipped = await new Response(new Blob(["zip me"]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
    await fetch("/r2/zipped", { method: "PUT", body: zipped, headers: { "content-encoding": "gzip" } });
    expect(await (await env.R2_BUCKET.get("zipped"))?.bytes()).toEqual(zipped);
    const response = await fetch("/r2/zipped");
    expect(response.headers.get("content-encoding")).toBe("gzip");
    expect(await response.text()).toBe("zip me");
  });

  test("a HEAD tells the length", async () => {
    await env.R2_BUCKET.put("wire", "12345");
    expect((await fetch("/r2/wire", { method: "HEAD" })).headers.get("content-length")).toBe("5");
  });

  test("a HEAD of a JSON call has no body", async () => {
    const response = await fetch("/health/live", { method: "HEAD" });
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });
});
