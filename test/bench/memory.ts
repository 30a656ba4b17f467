/** The memory of the workerd that this process has started, seen from outside: what Linux tells in /proc. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const KIB_A_MIB = 1_024;
/** Clears the high-water mark of a process: proc(5), `clear_refs`. */
const CLEAR_PEAK = "5";
const SETTLE_MS = 1_000;

/** Why memory cannot be measured here; null: it can. */
export const MEMORY_PROBLEM = process.platform === "linux" ? null : "memory is read from /proc, which only Linux has";

/**
 * By how much `run` lifts the resident memory of workerd at the most, MiB, above what it is when `run` begins. The
 * kernel keeps the peak itself (VmHWM), so that none is missed between two looks.
 */
export async function peakAboveIdle(run: () => Promise<unknown>): Promise<number> {
  const process = `/proc/${workerdPid()}`;
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const idle = field(process, "VmRSS");
  writeFileSync(`${process}/clear_refs`, CLEAR_PEAK);
  await run();
  return (field(process, "VmHWM") - idle) / KIB_A_MIB;
}

function workerdPid(): string {
  const pids = readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    const status = statusOf(`/proc/${name}`);
    return status.includes("Name:\tworkerd\n") && status.includes(`\nPPid:\t${process.pid}\n`);
  });
  const [pid] = pids;
  if (pid === undefined || pids.length > 1) throw new Error(`${pids.length} workerds of this process instead of one`);
  return pid;
}

/** KiB. */
function field(process: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(statusOf(process))?.[1];
  if (value === undefined) throw new Error(`${process}/status has no ${name}`);
  return Number(value);
}

function statusOf(process: string): string {
  try {
    return readFileSync(`${process}/status`, "utf8");
  } catch {
    // It has ended.
    return "";
  }
}
