/** The real Worker and its objects, with one route more for each thing that the benchmarks in `..` measure. */
import worker from "../../../src/index";
import { QUEUE_SECTION } from "../../../src/shared/config";
import type { WorkerEnv } from "../../../src/shared/env";
import { calls, fill, objectRequests, queue, type Side } from "./healthy";
import { fillList, lists, pendList } from "./listed";
import * as pushed from "./pushed";
import * as queued from "./queued";
import { BY, refuse } from "./refused";
import { queueUpload, type StreamSide, streamedPut } from "./streamed";

export { ServiceDO, SystemDO } from "../../../src/index";
export { BenchQueueDO as QueueDO } from "./bench-queue";
export { PeerDO } from "./peer-object";

const MAX_QUEUE_BYTES = 4 * 1024 ** 3;

type Parameters = (name: string) => string;
type BenchEnv = queued.BenchEnv & WorkerEnv;

const ROUTES: Readonly<Record<string, (env: BenchEnv, text: Parameters, number: (name: string) => number) => unknown>> =
  {
    fill: (env, _, number) => fill(env, number("size")),
    calls: (env, text, number) =>
      calls(env, text("side") as Side, text("service"), text("method"), number("size"), number("count")),
    queue: (env, text, number) => queue(env, text("service"), text("circuits"), number("size")),
    requests: (env, _, number) => objectRequests(env, number("count")),
    "fill-list": (env, text) => fillList(env, text("prefix")),
    "pend-list": (env, text, number) => pendList(env, text("service"), text("prefix"), number("count")),
    lists: (env, text, number) => lists(env, text("side") as Side, text("service"), text("prefix"), number("count")),
    enqueue: (env, text, number) => queued.enqueueAll(env, text("service"), number("count")),
    insert: (env, _, number) => queued.insertAll(env, number("count")),
    prepare: (env, text) => queued.prepare(env, text("service")),
    preload: (env, text, number) =>
      queued.preload(env, text("service"), {
        prefix: text("prefix"),
        count: number("count"),
        stuckMs: number("stuckMs"),
      }),
    claim: (env, text, number) => queued.claimAll(env, text("service"), number("count")),
    drain: (env, text, number) => queued.drain(env, text("service"), text("prefix"), number("left")),
    puts: (env, text, number) => queued.putAll(env, text("prefix"), number("count"), number("concurrency")),
    refuse: (env, text) => refuse(env, text("service"), text("circuits")),
    "streamed-put": (env, text, number) =>
      streamedPut(env, text("side") as StreamSide, text("service"), number("size")),
    "queue-upload": (env, text, number) => queueUpload(env, text("service"), number("size"), number("partSize")),
    change: (env) => pushed.change(env),
    send: (env, text) => pushed.send(env, text("text")),
    unbound: async (env) => {
      const system = env.SYSTEM_DO.get(env.SYSTEM_DO.idFromName("system"));
      await system.setConfig(QUEUE_SECTION, "max_queue_size", 0, BY);
      await system.setConfig(QUEUE_SECTION, "max_queue_bytes", MAX_QUEUE_BYTES, BY);
    },
  };

export default {
  ...worker,
  async fetch(incoming, env) {
    const url = new URL(incoming.url);
    if (url.pathname === "/health/ws") return worker.fetch(incoming, env);
    if (url.pathname === "/peer/ws") return pushed.peer(env).fetch(incoming);
    const route = ROUTES[url.pathname.slice(1)];
    if (route === undefined) return Response.json(`no such route: ${url.pathname}`, { status: 404 });
    const text = (name: string) => url.searchParams.get(name) ?? "";
    try {
      return Response.json((await route(env, text, (name) => Number(text(name)))) ?? null);
    } catch (error) {
      return Response.json(error instanceof Error ? (error.stack ?? error.message) : String(error), { status: 500 });
    }
  },
} satisfies ExportedHandler<BenchEnv>;
