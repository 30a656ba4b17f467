/** 10,000 requests at random: nothing but documented answers, and nothing of what is inside. `FUZZ_SEED=n` repeats a run. */
import { Agent, request as send } from "node:http";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ERROR_STATUS } from "../../src/shared/errors.ts";
import { bundle } from "../bench/bundle.ts";
import { FuzzInput, type FuzzRequest, type FuzzTarget } from "./fuzz-input.ts";

const REQUESTS = 9_800;
const FRAMES = 200;
const AT_ONCE = 16;
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));

const CODES_503 = Object.entries(ERROR_STATUS).flatMap(([code, status]) => (status === 503 ? [code] : []));
/** Stack traces, SQL, paths of files, names of objects and bindings. */
const INTERNALS =
  /\bat \S+ \(|\.[cm]?[jt]s:\d|node_modules|SQLITE|\b(SELECT|INSERT INTO|UPDATE|DELETE FROM) \w|durable-objects|\/tmp\/|\/work\/|R2_STORAGE:\d|(SERVICE|QUEUE|SYSTEM)_DO|idFromName|cloudflare-internal|TypeError|ReferenceError/;

interface Answer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

let miniflare: Miniflare;
let url: URL;
let agent: Agent;

beforeAll(async () => {
  const object = (className: string) => ({ className, useSQLite: true });
  miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: await bundle(fileURLToPath(new URL("../../src/index.ts", import.meta.url))),
      compatibilityDate: "2026-10-01",
      r2Buckets: ["R2_BUCKET"],
      durableObjects: { SERVICE_DO: object("ServiceDO"), QUEUE_DO: object("QueueDO"), SYSTEM_DO: object("SystemDO") },
      // No faults: an answer that hangs would be one.
      bindings: {
        ADMIN_TOKEN: "dev-admin",
        R2_TOKEN: "dev-r2",
        USER_JWT_SECRET: "dev-users",
        R2_USER_PREFIX: "users/{sub}/",
      },
    }),
  );
  url = await miniflare.ready;
  agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
});

afterAll(async () => {
  agent?.destroy();
  await miniflare?.dispose();
});

it(`answers ${REQUESTS} requests and ${FRAMES} frames (seed ${SEED}) with documented answers, and shows no internals`, async () => {
  console.log(`FUZZ_SEED=${SEED}`);
  const input = new FuzzInput(SEED, await targets());
  const failures: string[] = [];
  const statuses = new Map<number, number>();
  let made = 0;
  const client = async () => {
    while (made < REQUESTS && failures.length < 5) {
      made += 1;
      const request = input.request();
      const answer = await ask(request);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      const problem = problemWith(request, answer);
      if (problem !== null)
        failures.push(`${problem}: ${shown(request)} → ${answer.status} ${answer.body.slice(0, 300)}`);
    }
  };
  await Promise.all([...Array.from({ length: AT_ONCE }, client), frames(input, failures)]);
  expect(failures).toEqual([]);
  // It has met more than refusals.
  expect(Math.min(...[200, 400, 401, 403, 404, 405].map((status) => statuses.get(status) ?? 0))).toBeGreaterThan(20);
  expect((await ask({ method: "GET", path: "/health/live", headers: {}, body: null })).status).toBe(200);
});

async function targets(): Promise<FuzzTarget[]> {
  interface Operation {
    parameters?: { in: string; name: string }[];
  }
  const { body } = await ask({ method: "GET", path: "/openapi.json", headers: {}, body: null });
  const { paths }: { paths: Record<string, Record<string, Operation>> } = JSON.parse(body);
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [] }]) => ({
      method: method.toUpperCase(),
      path,
      query: parameters.filter((parameter) => parameter.in === "query").map(({ name }) => name),
    })),
  );
}

function problemWith({ method, path }: FuzzRequest, { status, headers, body }: Answer): string | null {
  const found = INTERNALS.exec(headers) ?? INTERNALS.exec(path.startsWith("/openapi.json") ? "" : body);
  if (found !== null) return `shows ${JSON.stringify(found[0])}`;
  if (status < 500) return null;
  if (status !== 503) return "is not documented";
  if (method === "HEAD") return null;
  const told = JSON.parse(body);
  const isState = "overall_status" in told || "read" in told || "checks" in told;
  return isState || CODES_503.includes(told.code) ? null : "is not documented";
}

function shown({ method, path, headers, body }: FuzzRequest): string {
  return `${method} ${path} ${JSON.stringify(headers)} ${body?.subarray(0, 200).toString("latin1") ?? ""}`.slice(
    0,
    700,
  );
}

function ask({ method, path, headers, body }: FuzzRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === null ? {} : { "content-length": String(body.byteLength) };
    const options = { host: url.hostname, port: url.port, method, path, headers: { ...headers, ...length }, agent };
    const sent = send(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: JSON.stringify(response.headers),
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    sent.on("error", (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
    sent.end(body ?? undefined);
  });
}

/** Frames on sockets of all that can be subscribed to; a socket that is closed for one is opened anew. */
async function frames(input: FuzzInput, failures: string[]): Promise<void> {
  let socket: WebSocket | null = null;
  for (let sent = 0; sent < FRAMES && failures.length < 5; sent += 1) {
    if (socket === null || socket.readyState !== WebSocket.OPEN) socket = await opened(sent % 2 === 0, failures);
    socket.send(input.frame());
    await new Promise((resume) => setTimeout(resume, 1));
  }
  socket?.close();
}

function opened(isOfOne: boolean, failures: string[]): Promise<WebSocket> {
  const path = isOfOne ? "/health/ws?service=R2_STORAGE" : "/health/ws";
  const socket = new WebSocket(`ws://${url.host}${path}`, ["r2-failover"]);
  socket.onmessage = ({ data }) => {
    const found = INTERNALS.exec(String(data));
    if (found !== null) failures.push(`a frame shows ${JSON.stringify(found[0])}: ${String(data).slice(0, 300)}`);
  };
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onerror = () => reject(new Error(`${path} takes no socket`));
  });
}
