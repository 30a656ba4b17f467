import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { handle } from "../../../src/http/router";
import type { WorkerEnv } from "../../../src/shared/env";
import { ADMIN } from "./client";

/** A namespace whose objects never answer. */
function hanging<N>(): N {
  const stub = new Proxy({}, { get: (_, name) => (name === "then" ? undefined : () => new Promise(() => {})) });
  return { idFromName: (name: string) => name, get: () => stub } as N;
}

const hung: WorkerEnv = {
  ...env,
  SERVICE_DO: hanging<WorkerEnv["SERVICE_DO"]>(),
  QUEUE_DO: hanging<WorkerEnv["QUEUE_DO"]>(),
  SYSTEM_DO: hanging<WorkerEnv["SYSTEM_DO"]>(),
};

/** The answer, and how long a client waited for it by the clock. */
async function timed(path: string, workerEnv: WorkerEnv): Promise<{ response: Response; ms: number }> {
  const started = Date.now();
  let ms = 0;
  const headers = { authorization: `Bearer ${ADMIN}` };
  const answer = handle(new Request(`http://worker.test${path}`, { headers }), workerEnv).then((response) => {
    ms = Date.now() - started;
    return response;
  });
  await vi.advanceTimersByTimeAsync(60_000);
  return { response: await answer, ms };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("live answers while every object hangs", async () => {
  const { response, ms } = await timed("/health/live", hung);
  expect([response.status, ms]).toEqual([200, 0]);
});

test("status answers with what is known while every object hangs", async () => {
  const { response, ms } = await timed("/health/status", hung);
  expect(ms).toBeLessThanOrEqual(8_000);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({
    overall_status: "DEGRADED",
    services: [{ service_name: "R2_STORAGE", status: "DEGRADED" }],
    message: expect.stringContaining("unknown"),
  });
});

test("ready trusts the isolates while the service's object hangs", async () => {
  const { response, ms } = await timed("/health/ready", hung);
  expect(ms).toBe(2_000);
  expect([response.status, await response.json()]).toEqual([200, { read: true, write: true }]);
});

test("services name the one whose object hangs", async () => {
  const { response } = await timed("/health/services", hung);
  expect(await response.json()).toEqual({ services: [], unreachable: ["R2_STORAGE"] });
});

test.each([
  "/health/services/R2_STORAGE",
  "/health/r2/status",
  "/health/events",
  "/health/config",
  "/health/services/R2_STORAGE/faults",
  "/health/services/SOME_OTHER",
])("%s is 503 with Retry-After when its object hangs", async (path) => {
  const { response, ms } = await timed(path, hung);
  expect(ms).toBe(2_000);
  expect([response.status, response.headers.has("retry-after")]).toEqual([503, true]);
  expect(await response.json()).toMatchObject({ code: "SERVICE_UNAVAILABLE" });
});
