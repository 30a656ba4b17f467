import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { pokeServices } from "../../../src/cron";
import type { WorkerEnv } from "../../../src/shared/env";

const registered = Array.from({ length: 20 }, (_, n) => `SERVICE_${n}`);
const system = {
  idFromName: (name: string) => name,
  get: () => ({ services: async () => registered }),
} as unknown as WorkerEnv["SYSTEM_DO"];

function services(poke: (service: string) => Promise<void>): WorkerEnv["SERVICE_DO"] {
  return {
    idFromName: (name: string) => name,
    get: (id: unknown) => ({ poke: () => poke(String(id)) }),
  } as unknown as WorkerEnv["SERVICE_DO"];
}

test("every registered service is poked, and the default one in any case, at most six at once", async () => {
  const poked: string[] = [];
  let running = 0;
  let most = 0;
  const poke = async (service: string) => {
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    running -= 1;
    poked.push(service);
  };
  await pokeServices({ ...env, SYSTEM_DO: system, SERVICE_DO: services(poke) });
  expect(poked.sort()).toEqual(["R2_STORAGE", ...registered].sort());
  expect(most).toBeLessThanOrEqual(6);
});

test("a service that fails is logged as one line of JSON, and keeps no other from its poke", async () => {
  const poked: string[] = [];
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const poke = async (service: string) => {
    if (service === "SERVICE_3") throw new Error("broken");
    poked.push(service);
  };
  await pokeServices({ ...env, SYSTEM_DO: system, SERVICE_DO: services(poke) });
  expect(poked).toHaveLength(20);
  const lines = warn.mock.calls.map(([line]) => JSON.parse(String(line)));
  warn.mockRestore();
  expect(lines).toMatchObject([
    { level: "warn", event: "object_call_failed", what: expect.stringContaining("SERVICE_3") },
  ]);
});

test("with the registry out of reach the services that are bound are poked", async () => {
  const poked: string[] = [];
  const down = {
    idFromName: (name: string) => name,
    get: () => ({ services: () => Promise.reject(new Error("down")) }),
  } as unknown as WorkerEnv["SYSTEM_DO"];
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await pokeServices({ ...env, SYSTEM_DO: down, SERVICE_DO: services(async (service) => void poked.push(service)) });
  warn.mockRestore();
  expect(poked).toEqual(["R2_STORAGE"]);
});
