/** The system under test: `npm start` in a process group of its own, so that a kill takes workerd along. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const READY_WITHIN_MS = 120_000;
const GONE_WITHIN_MS = 10_000;
const LOG_LINES = 40;

export interface System {
  readonly url: string;
  /** SIGKILL to the whole group, as a power cut would. Resolves when no process of it is left. */
  kill(): Promise<void>;
  /** Ctrl-C, and SIGKILL to whatever is still there after 10 s. True when Ctrl-C was enough. */
  stop(): Promise<boolean>;
  /** SIGTERM to npm alone, as a supervisor sends it, and SIGKILL to whatever is left. True when SIGTERM was enough. */
  terminate(): Promise<boolean>;
  /** The last lines that it printed. */
  log(): string;
}

const running = new Set<number>();

/** The last net: whatever ends this process, but SIGKILL, ends the systems that it started. */
process.on("exit", killAll);
for (const [signal, exitCode] of [
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.on(signal, () => {
    killAll();
    process.exit(exitCode);
  });
}

function killAll(): void {
  for (const group of running) sendSignal(-group, "SIGKILL");
}

/** Starts the system with its state in `persistTo`, on a free port unless one is given, and waits until it answers. */
export async function startSystem(persistTo: string, onPort?: number): Promise<System> {
  const port = onPort ?? (await freePort());
  const flags = ["--port", String(port), "--inspector-port", "0", "--persist-to", persistTo];
  const child = spawn("npm", ["start", "--", ...flags], {
    cwd: ROOT,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    // Wrangler stores a trace of every call: a third of the time, and nobody looks at it here.
    env: { ...process.env, X_LOCAL_OBSERVABILITY: "false" },
  });
  const group = child.pid;
  if (group === undefined) throw new Error("npm could not be started. Is it on PATH?");
  running.add(group);
  const lines = collectOutput(child);
  const end = async (target: number, signal: NodeJS.Signals): Promise<boolean> => {
    sendSignal(target, signal);
    const isGone = await groupEnds(group);
    if (!isGone) {
      sendSignal(-group, "SIGKILL");
      await groupEnds(group);
    }
    running.delete(group);
    return isGone;
  };
  const system: System = {
    url: `http://127.0.0.1:${port}`,
    kill: async () => void (await end(-group, "SIGKILL")),
    stop: () => end(-group, "SIGINT"),
    terminate: () => end(group, "SIGTERM"),
    log: () => lines.join("\n"),
  };
  try {
    await answers(`${system.url}/health/live`, child);
    return system;
  } catch (error) {
    await system.kill();
    throw new Error(`The system did not start: ${String(error)}\n${system.log()}`);
  }
}

function collectOutput(child: ChildProcess): string[] {
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      lines.push(...text.split("\n").filter((line) => line.trim() !== ""));
      lines.splice(0, lines.length - LOG_LINES);
    });
  }
  return lines;
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  let last = "no answer";
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`it ended with exit code ${child.exitCode}`);
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
      await response.arrayBuffer();
      if (response.ok) return;
      last = `status ${response.status}`;
    } catch (error) {
      last = String(error);
    }
    await sleep(100);
  }
  throw new Error(`${url}: ${last}`);
}

/** `target`: a process, or minus a group. */
function sendSignal(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch {
    // ESRCH: it has ended by itself.
  }
}

async function groupEnds(group: number): Promise<boolean> {
  const deadline = Date.now() + GONE_WITHIN_MS;
  while (isGroupAlive(group)) {
    if (Date.now() > deadline) return false;
    await sleep(20);
  }
  return true;
}

/** A zombie that nobody reaps still takes signals, so Linux is asked for the state of the group's members. */
function isGroupAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  return readdirSync("/proc").some((name) => /^\d+$/.test(name) && isLivingMember(name, group));
}

function isLivingMember(pid: string, group: number): boolean {
  try {
    // "pid (name) state parent group …"; the name may hold blanks and parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state !== "Z" && Number(processGroup) === group;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("The operating system gave no port.");
  return address.port;
}
