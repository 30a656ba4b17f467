/** Subscriptions of real clients, held through a power cut of the server. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type System, startSystem } from "../drill/system.ts";
import { launchBrowser } from "./browser.ts";

const HELPER = fileURLToPath(new URL("../../src/client-ws.ts", import.meta.url));
const SERVICE = "R2_STORAGE";
const OPS = { authorization: "Bearer dev-admin", "content-type": "application/json" };

/** What a client has to show for itself. */
interface Seen {
  readonly seqs: readonly number[];
  readonly causes: readonly string[];
  readonly since: string | null;
}
interface Client {
  seen(): Promise<Seen>;
  close(): Promise<void>;
}

/** The helper as one script, with what both clients run: `globalThis.watchStatus(url)`, then `globalThis.seen()`. */
async function bundle(): Promise<string> {
  const contents = `
    import { subscribeStatus } from ${JSON.stringify(HELPER)};
    globalThis.watchStatus = (url, service) => {
      const seqs = [], causes = [];
      const subscription = subscribeStatus({ url, service, onEvent: ({ seq }) => seqs.push(seq), onState: (_, cause) => causes.push(cause) });
      globalThis.seen = () => ({ seqs, causes, since: subscription.since });
      globalThis.stopWatching = () => subscription.close();
    };`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: "/", loader: "ts" },
    bundle: true,
    write: false,
    format: "iife",
  });
  return outputFiles[0]?.text ?? "";
}

interface Watching {
  watchStatus(url: string, service: string | undefined): void;
  seen(): Seen;
  stopWatching(): void;
}

async function nodeClient(url: string, service: string | undefined): Promise<Client> {
  // Node's own WebSocket, in a scope of its own.
  const scope = globalThis as unknown as Watching;
  new Function(await bundle())();
  scope.watchStatus(`${url}/health/ws`, service);
  return { seen: async () => scope.seen(), close: async () => scope.stopWatching() };
}

async function pageClient(browser: Browser, url: string, service: string | undefined): Promise<Client> {
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  // Any page of the system's own origin.
  await page.goto(`${url}/health/live`);
  await page.evaluate(await bundle());
  const call = `globalThis.watchStatus(${JSON.stringify(`${url}/health/ws`)}, ${JSON.stringify(service)})`;
  await page.evaluate(call);
  return {
    seen: () => page.evaluate<Seen>("globalThis.seen()"),
    close: () => context.close(),
  };
}

async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean, what: string): Promise<T> {
  const end = Date.now() + 90_000;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within 90 s. Last: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Six events or more. */
async function happen(url: string): Promise<void> {
  for (const action of ["pause", "resume", "pause", "resume", "pause", "resume"]) {
    const response = await fetch(`${url}/health/queue/${action}`, { method: "POST", headers: OPS, body: "{}" });
    expect(response.status).toBe(200);
  }
}

async function lastSeq(url: string, service: string | undefined): Promise<number> {
  const query = service === undefined ? "" : `&service=${service}`;
  const response = await fetch(`${url}/health/events?limit=1${query}`);
  const { next_since } = (await response.json()) as { next_since: string };
  return Number(next_since.split(".").at(-1));
}

describe("a subscription, through a power cut of the server", () => {
  let directory: string;
  let system: System | undefined;
  let browser: Browser | undefined;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "r2-failover-live-"));
    system = await startSystem(directory);
  });

  afterEach(async () => {
    await browser?.close();
    await system?.kill();
    await rm(directory, { recursive: true, force: true });
  });

  async function holds(open: (url: string) => Promise<Client>, service: string | undefined): Promise<void> {
    if (system === undefined) throw new Error("no system");
    const { url } = system;
    await happen(url);
    const client = await open(url);
    await until(
      () => client.seen(),
      ({ causes }) => causes.includes("snapshot"),
      "the first snapshot",
    );
    const { since } = await client.seen();
    const first = Number(since?.split(".").at(-1)) + 1;
    await happen(url);
    await until(
      () => client.seen(),
      ({ seqs }) => seqs.length >= 6,
      "events before the cut",
    );
    // Recorded, and perhaps not yet pushed, when the power goes.
    const last = fetch(`${url}/health/queue/pause`, { method: "POST", headers: OPS, body: "{}" }).catch(
      () => undefined,
    );
    await system.kill();
    await last;
    system = await startSystem(directory, Number(new URL(url).port));
    await happen(url);
    const head = await until(
      () => lastSeq(url, service),
      (seq) => seq >= first + 11,
      "the events after the cut",
    );
    const { seqs, causes } = await until(
      () => client.seen(),
      (seen) => (seen.seqs.at(-1) ?? 0) >= head,
      "the last event",
    );
    expect(seqs).toEqual(seqs.map((_, index) => first + index));
    expect(causes.filter((cause) => cause === "snapshot").length).toBeGreaterThan(1);
    expect(causes).not.toContain("reset");
    await client.close();
  }

  it("Node's own WebSocket sees every event of all services once", async () => {
    await holds((url) => nodeClient(url, undefined), undefined);
  });

  it("a page in Chromium sees every event of one service once", async () => {
    browser = await launchBrowser();
    const page = browser;
    await holds((url) => pageClient(page, url, SERVICE), SERVICE);
  });
});
