import { existsSync, statfsSync } from "node:fs";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Storage in memory, where the system has enough of it: else the tests wait for the disk. */
const MEMORY = "/dev/shm";
const ENOUGH_BYTES = 4 * 1024 ** 3;
if (existsSync(MEMORY)) {
  const { bavail, bsize } = statfsSync(MEMORY);
  if (bavail * bsize >= ENOUGH_BYTES) process.env.TMPDIR = MEMORY;
}

/** What takes longest, in this order. */
const LONGEST = [
  "test/worker/queue/model.test.ts",
  "test/e2e/drill.test.ts",
  "test/twin/even-seeds.test.ts",
  "test/twin/odd-seeds.test.ts",
  "test/e2e/large-file.test.ts",
  "test/worker/multipart/scenarios.test.ts",
  "test/e2e/live.test.ts",
  "test/e2e/fuzz.test.ts",
];

/** Begins with what takes longest, so that nothing long is left for the end; Vitest knows only how large files are. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.findIndex((path) => moduleId.endsWith(path));
      return found === -1 ? LONGEST.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    // Many files wait for real timers, so a machine of two cores runs more than two at a time.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        // Pure parts: plain Node, no Worker, and nothing that one file could leave behind for the next.
        test: { name: "unit", include: ["test/unit/**/*.test.ts"], isolate: false },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                ADMIN_TOKEN: "dev-admin",
                R2_TOKEN: "dev-r2",
                USER_JWT_SECRET: "dev-users",
                R2_USER_PREFIX: "users/{sub}/",
                FAULT_INJECTION: "on",
              },
              // Each way of the case tables has a bucket of its own.
              r2Buckets: ["R2_RAW", "R2_HEALTHY", "R2_WRITELESS", "R2_FAILING", "R2_OPEN"],
            },
          }),
        ],
        test: { name: "worker", include: ["test/worker/**/*.test.ts"], testTimeout: 30_000 },
      },
      {
        // The same Worker with everything bound that can be monitored.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                ADMIN_TOKEN: "dev-admin",
                R2_TOKEN: "dev-r2",
                FAULT_INJECTION: "on",
                HEALTH_PROBES: JSON.stringify({
                  D1_DATABASE: { kind: "d1", binding: "D1_DATABASE", query: "SELECT n FROM canary" },
                  AUTH_KV: { kind: "kv", binding: "AUTH_KV", key: "canary" },
                  PAYMENTS: { kind: "url", url: "http://payments.test/health" },
                  HANDLER: { kind: "rpc", binding: "HANDLER" },
                }),
              },
              d1Databases: ["D1_DATABASE"],
              kvNamespaces: ["AUTH_KV"],
              serviceBindings: { HANDLER: "handler" },
              outboundService: "handler",
              workers: [
                {
                  name: "handler",
                  modules: true,
                  compatibilityDate: "2026-10-01",
                  scriptPath: "test/monitor/handler.mjs",
                },
              ],
            },
          }),
        ],
        test: { name: "monitor", include: ["test/monitor/**/*.test.ts"], testTimeout: 30_000, hookTimeout: 60_000 },
      },
      {
        // Random programs against a native bucket beside ours.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { r2Buckets: ["R2_TWIN"], bindings: { FAULT_INJECTION: "on" } },
          }),
        ],
        test: { name: "twin", include: ["test/twin/**/*.test.ts"] },
      },
      {
        // Whole processes: `wrangler dev`, killed and restarted.
        test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], testTimeout: 480_000, hookTimeout: 60_000 },
      },
    ],
  },
});
