/** The whole system under Miniflare, with the benchmarks' routes. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { bundle } from "./bundle.ts";

const WORKER = fileURLToPath(new URL("./workers/system-worker.ts", import.meta.url));

export type Parameters = Readonly<Record<string, string | number>>;

/** In memory, where the system has it: else what is compared is how busy others keep the disk. */
const MEMORY = "/dev/shm";
if (existsSync(MEMORY)) process.env.TMPDIR = MEMORY;

export interface BenchSystem {
  /** Calls a route of the bench Worker. Rejects with what the route threw. */
  call<T>(route: string, parameters?: Parameters): Promise<T>;
  /** Where it listens: for WebSockets. */
  url(): Promise<URL>;
  stop(): Promise<void>;
}

/** `services`: names beside the default one, all with the same bucket. */
export async function startBenchSystem(services: readonly string[] = []): Promise<BenchSystem> {
  const object = (className: string) => ({ className, useSQLite: true });
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      modules: true,
      script: await bundle(WORKER),
      compatibilityDate: "2026-10-01",
      r2Buckets: ["R2_BUCKET"],
      durableObjects: {
        SERVICE_DO: object("ServiceDO"),
        QUEUE_DO: object("QueueDO"),
        SYSTEM_DO: object("SystemDO"),
        PEER_DO: object("PeerDO"),
      },
      bindings:
        services.length === 0
          ? {}
          : { R2_SERVICES: JSON.stringify(Object.fromEntries(services.map((name) => [name, "R2_BUCKET"]))) },
    }),
  );
  return {
    async call<T>(route: string, parameters: Parameters = {}): Promise<T> {
      const url = new URL(route, "http://bench/");
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, String(value));
      const response = await miniflare.dispatchFetch(url.href);
      const answer: unknown = await response.json();
      if (!response.ok) throw new Error(`${url.pathname}${url.search}: ${answer}`);
      return answer as T;
    },
    url: () => miniflare.ready,
    stop: () => miniflare.dispose(),
  };
}
