import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { asAdmin, asGateway, type Sent, send, verdict } from "./client";
import { mint } from "./user-tokens";

const FAULTS = "/health/services/R2_STORAGE/faults";
const OPERATIONS = "/health/queue/operations";

let al = "";
let alice = "";

beforeAll(async () => {
  al = await mint("al");
  alice = await mint("alice");
  for (const key of ["users/al/a.txt", "users/alice/b.txt", "users/alice/c.txt", "open.txt"]) {
    await env.R2_BUCKET.put(key, key);
  }
});

afterEach(async () => {
  await asAdmin("DELETE", FAULTS);
});

const asAl = (method: string, path: string, sent: Sent = {}) => send(method, path, { token: al, ...sent });
const asAlice = (method: string, path: string, sent: Sent = {}) => send(method, path, { token: alice, ...sent });
const outage = () =>
  asAdmin("PUT", FAULTS, { json: { faults: [{ operations: "write", error_code: 10001 }] } }).then(({ status }) =>
    expect(status).toBe(200),
  );

describe("objects: a user reaches what lies below the prefix, and nothing else", () => {
  test("writes, reads and deletes below it", async () => {
    expect(await verdict(await asAl("PUT", "/r2/users/al/mine.txt", { body: "mine" }))).toBe("200");
    expect(await (await asAl("GET", "/r2/users/al/mine.txt")).text()).toBe("mine");
    expect((await asAl("HEAD", "/r2/users/al/mine.txt")).status).toBe(200);
    expect(await verdict(await asAl("DELETE", "/r2/users/al/mine.txt"))).toBe("204");
  });

  test.each([
    "users/alice/b.txt",
    "users%2Falice%2Fb.txt",
    "users/al%2F..%2Falice/b.txt",
    "users/al/../alice/b.txt",
    "users/al/%2e%2e/alice/b.txt",
    "users/al/%2E%2E%2Falice/b.txt",
    "users/al/..%5Calice/b.txt",
    "users/al",
    "users/al%00/x",
    "/users/al/x",
    "open.txt",
    "users%252Fal/x",
    "Users/al/x",
  ])("/r2/%s is refused by every method, and stays as it was", async (path) => {
    for (const method of ["PUT", "GET", "DELETE"]) {
      const found = await verdict(await asAl(method, `/r2/${path}`, method === "PUT" ? { body: "taken" } : {}));
      expect([method, found]).toEqual([method, "403 FORBIDDEN"]);
    }
    expect((await asAl("HEAD", `/r2/${path}`)).status).toBe(403);
    expect(await (await env.R2_BUCKET.get("users/alice/b.txt"))?.text()).toBe("users/alice/b.txt");
  });

  test("no answer tells whether another's object exists", async () => {
    const there = await (
      await asAl("GET", "/r2/users/alice/b.txt", { headers: { "x-request-id": "same-id-1" } })
    ).text();
    const gone = await (
      await asAl("GET", "/r2/users/alice/no.txt", { headers: { "x-request-id": "same-id-1" } })
    ).text();
    expect(there).toBe(gone);
  });

  test.each(["", "users/", "users/al", "users/alice/", "u", "users%2Fal%2F..%2F"])(
    "a list of prefix %j is refused",
    async (prefix) => {
      expect(await verdict(await asAl("GET", `/r2/?prefix=${prefix}`))).toBe("403 FORBIDDEN");
    },
  );

  test("a list below the prefix shows that alone, wherever cursor, start_after and delimiter point", async () => {
    const first = await (await asGateway("GET", "/r2/?limit=1&prefix=users/alice/")).json<{ cursor: string }>();
    const foreign = encodeURIComponent(first.cursor);
    for (const more of ["", "&delimiter=/", "&start_after=users/", `&cursor=${foreign}`, "&start_after=a&limit=1"]) {
      const response = await asAl("GET", `/r2/?prefix=users/al/${more}`);
      const { objects, delimited_prefixes } = await response.json<{
        objects: { key: string }[];
        delimited_prefixes: string[];
      }>();
      const names = [...objects.map(({ key }) => key), ...delimited_prefixes];
      expect([more, names.filter((name) => !name.startsWith("users/al/"))]).toEqual([more, []]);
    }
    const all = await (await asAl("GET", "/r2/?prefix=users/al/")).json<{ objects: { key: string }[] }>();
    expect(all.objects.map(({ key }) => key)).toEqual(["users/al/a.txt"]);
  });

  test.each([["a/b"], [".."]])("a user called %j reaches nothing", async (sub) => {
    const token = await mint(sub);
    expect(await verdict(await send("GET", `/r2/users/${encodeURIComponent(sub)}/x`, { token }))).toBe("403 FORBIDDEN");
    expect(await verdict(await send("GET", "/r2/?prefix=users/", { token }))).toBe("403 FORBIDDEN");
  });

  test("a user whose id is a number is that number", async () => {
    const token = await mint("", { claims: { sub: 123 as unknown as string } });
    expect(await verdict(await send("PUT", "/r2/users/123/x", { token, body: "x" }))).toBe("200");
  });

  test("nothing is reached while R2_USER_PREFIX is unset, nor while two users could share it", async () => {
    expect(await verdict(await asAl("GET", "/r2/users/al/a.txt", { env: { R2_USER_PREFIX: "" } }))).toBe(
      "403 FORBIDDEN",
    );
    const shared = { env: { R2_USER_PREFIX: "users/" } };
    expect(await verdict(await asAl("GET", "/r2/users/al/a.txt", shared))).toBe("503 AUTH_NOT_CONFIGURED");
    expect(await verdict(await asAl("GET", "/r2/?prefix=users/", shared))).toBe("503 AUTH_NOT_CONFIGURED");
  });

  test("where reads are public, a user reads what anyone reads, and writes only below the prefix", async () => {
    const open = { env: { R2_PUBLIC_READ: "true" } };
    expect(await verdict(await asAl("GET", "/r2/users/alice/b.txt", open))).toBe("200");
    expect(await verdict(await asAl("PUT", "/r2/users/alice/b.txt", { ...open, body: "taken" }))).toBe("403 FORBIDDEN");
  });
});

describe("operations: a user sees, and may cancel, their own", () => {
  async function queued(key: string, by: (method: string, path: string, sent: Sent) => Promise<Response>) {
    const response = await by("PUT", `/r2/${key}`, { body: "queued" });
    expect(response.status).toBe(202);
    return (await response.json<{ operation_id: string }>()).operation_id;
  }

  test("the operation of a queued write is its user's, by the token, whatever else is said", async () => {
    await outage();
    const own = await queued("users/al/own.txt", asAl);
    const other = await queued("users/alice/other.txt", asAlice);
    const nobodys = await queued("users/al/by-gateway.txt", asGateway);

    expect(await (await asAl("GET", `${OPERATIONS}/${own}`)).json()).toMatchObject({ user_id: "al" });
    expect(await (await asAdmin("GET", `${OPERATIONS}/${nobodys}`)).json()).toMatchObject({ user_id: null });
    for (const id of [other, nobodys]) {
      expect(await verdict(await asAl("GET", `${OPERATIONS}/${id}`))).toBe("404 NOT_FOUND");
      expect(await verdict(await asAl("POST", `${OPERATIONS}/${id}/cancel`))).toBe("404 NOT_FOUND");
      expect(await (await asAdmin("GET", `${OPERATIONS}/${id}`)).json()).toMatchObject({ status: "PENDING" });
    }
    for (const call of [`${OPERATIONS}/${own}/payload`, "/health/config", FAULTS]) {
      expect(await verdict(await asAl("GET", call))).toBe("403 FORBIDDEN");
    }
    expect(await verdict(await asAl("POST", `${OPERATIONS}/${own}/retry`))).toBe("403 FORBIDDEN");

    const list = async (query: string) => {
      const response = await asAl("GET", `${OPERATIONS}${query}`);
      const { operations } = await response.json<{ operations: { operation_id: string; user_id: string }[] }>();
      return operations.map(({ operation_id }) => operation_id);
    };
    expect(await list("")).toEqual([own]);
    expect(await list("?user_id=al")).toEqual([own]);
    expect(await list("?key=users/alice/other.txt")).toEqual([]);
    expect(await verdict(await asAl("GET", `${OPERATIONS}?user_id=alice`))).toBe("403 FORBIDDEN");

    const cancelled = await asAl("POST", `${OPERATIONS}/${own}/cancel`);
    expect(await cancelled.json()).toMatchObject({ operation_id: own, status: "CANCELLED" });
    // The shard's news travels by its outbox.
    await vi.waitFor(
      async () => {
        const seen = await (await asAdmin("GET", "/health/events?limit=1000")).text();
        expect(seen).toContain('"actor":"user:al"');
      },
      { timeout: 20_000, interval: 200 },
    );
  });
});

test("a user's token opens nothing that is about everybody: event data, shards and reasons stay the operators'", async () => {
  await asAdmin("POST", "/health/services/R2_STORAGE/degrade", { json: { reason: "a secret reason" } });
  for (const path of ["/health/services", "/health/services/R2_STORAGE", "/health/events", "/health/queue/status"]) {
    expect(await (await asAl("GET", path)).text()).not.toMatch(/a secret reason|"shards"|request_id/);
  }
  await asAdmin("POST", "/health/services/R2_STORAGE/recover");
});
