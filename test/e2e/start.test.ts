import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type System, startSystem } from "../drill/system.ts";

describe("npm start", () => {
  let directory: string;
  let system: System | undefined;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "r2-failover-start-"));
  });

  afterEach(async () => {
    await system?.kill();
    await rm(directory, { recursive: true, force: true });
  });

  it("serves on the given port without a terminal, keeps its state where it was told, and Ctrl-C leaves nothing behind", async () => {
    system = await startSystem(directory);
    const file = `${system.url}/r2/greeting.txt`;
    const headers = { authorization: "Bearer dev-r2" };

    const put = await fetch(file, { method: "PUT", headers, body: "hello" });
    expect(put.status).toBe(200);
    expect(await (await fetch(file, { headers })).text()).toBe("hello");
    expect((await fetch(file)).status).toBe(401);
    expect(existsSync(join(directory, "v3", "r2"))).toBe(true);

    // True only if the whole process group ended by itself.
    expect(await system.stop()).toBe(true);
    await expect(fetch(file, { headers })).rejects.toThrow();
  });

  it("ends with all that it started when npm alone is told to end", async () => {
    system = await startSystem(directory);
    expect(await system.terminate()).toBe(true);
    await expect(fetch(`${system.url}/health/live`)).rejects.toThrow();
  });

  it("takes the local credentials that the README names, and lets an operator inject faults", async () => {
    system = await startSystem(directory);
    const faults = `${system.url}/health/services/R2_STORAGE/faults`;
    const withToken = (token: string) => fetch(faults, { headers: { authorization: `Bearer ${token}` } });

    expect((await withToken("dev-admin")).status).toBe(200);
    expect((await withToken("dev-r2")).status).toBe(403);

    const user = await new SignJWT({ sub: "u1" })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode("dev-users"));
    const asUser = (key: string) =>
      fetch(`${system?.url}/r2/${key}`, { method: "PUT", headers: { authorization: `Bearer ${user}` }, body: "mine" });
    expect((await asUser("users/u1/mine.txt")).status).toBe(200);
    expect((await asUser("users/u2/mine.txt")).status).toBe(403);
  });
});
