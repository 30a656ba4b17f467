/**
 * The outage drill: real files and multipart uploads, a dying R2, two power cuts, lists and reads at every stage, and a
 * comparison of every byte at the end.
 *
 *   npm run drill -- [--seed N] [--quick] [--keep]
 *
 * `--quick` takes fewer files. `--keep` leaves the system's state on disk and says where.
 */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readBucket } from "./bucket.ts";
import { Client, type Status } from "./client.ts";
import { LARGE_KEY, readCorpus } from "./corpus.ts";
import { judgeList, Lists } from "./lists.ts";
import { MultipartUploads, type Stage } from "./multipart.ts";
import { acknowledged, countFaults, UNWRITTEN } from "./oracle.ts";
import { seededRandom } from "./random.ts";
import { firstUploads, mixedWrites, plainWrites, Uploads } from "./scripts.ts";
import { type System, startSystem } from "./system.ts";
import { Timeline } from "./timeline.ts";
import { Watch } from "./watch.ts";
import { Workload } from "./workload.ts";

const PACKAGE = fileURLToPath(new URL("../../node_modules/typescript", import.meta.url));

/** Short timers, so that an outage of an hour fits into a minute. */
const CONFIG: readonly (readonly [section: string, key: string, value: number])[] = [
  ["R2_STORAGE", "circuit_breaker_timeout", 2_000],
  ["R2_STORAGE", "health_check_interval", 1_000],
  ["R2_STORAGE", "retry_delay_ms", 200],
  ["R2_STORAGE", "write_timeout_ms", 5_000],
  ["R2_STORAGE", "read_timeout_ms", 5_000],
  // What R2 cannot fence waits for the leases from before the outage: deletes and completed multipart uploads.
  ["R2_STORAGE", "lease_cap_ms", 5_000],
  ["OPERATION_QUEUE", "processing_interval", 200],
  ["OPERATION_QUEUE", "max_queue_size", 0],
];
const WRITES_FAIL = [{ operations: "write", error_code: 10_001 }];
const EVERYTHING_FAILS = [{ operations: "all", error_code: 10_001 }];
/** A service that recovers is slow, and the second power cut must not miss the drain. */
const SLOW_WRITES = [{ operations: "write", latency_ms: 1_000 }];
const OPENS_WITHIN_MS = 30_000;
const DRAINS_WITHIN_MS = 180_000;
/** Calls of isolates that may meet R2 after the circuit opened: those that were in flight. */
const IN_FLIGHT = 16;

const LISTS = [
  { prefix: "", isDelimited: false },
  { prefix: "", isDelimited: true },
  { prefix: "typescript/", isDelimited: true },
  { prefix: "multipart/", isDelimited: false },
] as const;

const flags = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    quick: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
}).values;

const directory = await mkdtemp(join(tmpdir(), "r2-failover-drill-"));
// Registered after the handler of system.ts, so the processes are gone before their files are.
process.on("exit", () => {
  if (!flags.keep) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});

const timeline = new Timeline((line) => console.log(line));
const failures: string[] = [];
const watch = new Watch(tellChanges);
const workload = new Workload((answer) => {
  if (answer.kind === "queued" && timeline.at("first failure") === null) {
    timeline.mark("first failure", "the first write failed at R2 and was queued");
  }
});

/** Drawn apart, so that a seed gives the files the same fate with and without them. */
const multipart = new MultipartUploads(
  seededRandom(Number(flags.seed) + 1),
  (...note) => workload.note(...note),
  flags.quick,
);
const lists = new Lists(seededRandom(Number(flags.seed) + 2));

let system: System;
let client: Client;

async function start(): Promise<void> {
  system = await startSystem(directory);
  client = new Client(system.url);
  watch.attach(client);
}

async function powerCut(when: string): Promise<void> {
  watch.attach(null);
  await system.kill();
  timeline.say(`SIGKILL ${when}`);
  await start();
  timeline.say("started again on the same storage");
}

function tellChanges(status: Status, before: Status | null): void {
  for (const operationClass of ["read", "write"] as const) {
    const { state } = status.circuits[operationClass];
    const isNews = state !== before?.circuits[operationClass].state;
    // In the outage a circuit goes to and fro between OPEN and HALF_OPEN with every probe.
    const isTrial = timeline.at(`${operationClass} OPEN`) !== null && timeline.at("healed") === null;
    if (isNews && !isTrial) timeline.mark(`${operationClass} ${state}`, `the ${operationClass} circuit is ${state}`);
  }
  if (timeline.at("healed") === null) return;
  if (isClosed(status) && timeline.at("closed") === null) timeline.mark("closed", "both circuits are CLOSED");
  if (status.queued === 0 && timeline.at("drained") === null) timeline.mark("drained", "the queue is empty");
}

function isClosed({ circuits }: Status): boolean {
  return circuits.read.state === "CLOSED" && circuits.write.state === "CLOSED";
}

function check(holds: boolean, otherwise: string): void {
  if (holds) return;
  failures.push(otherwise);
  timeline.say(`FAILED: ${otherwise}`);
}

/** Reads everything back and says how it went. `mayFail`: keys that may be refused with 503, as R2 alone has them. */
async function readEverything(mayFail: (key: string) => boolean): Promise<void> {
  const read = await workload.readBack(client);
  const sources = [...read.sources].map(([source, count]) => `${count} from ${source}`).join(", ");
  timeline.say(
    `read back ${read.answered} of ${workload.histories.size} keys (${sources}), ${read.findings.length} wrong`,
  );
  for (const [key, why] of read.unread)
    check(mayFail(key) && why.startsWith("503"), `a read of ${key} did not answer: ${why}`);
}
const none = (): boolean => false;
const isUnqueued = (key: string): boolean => !workload.queuedKeys.has(key);
const isHidden = (key: string): boolean => multipart.isHidden(key);

/** Lists everything, and what is below some prefixes, and says how it went. `isPartial`: R2 is away. */
async function listEverything(isPartial: boolean): Promise<void> {
  const { histories } = workload;
  let found = 0;
  let listed = 0;
  for (const question of LISTS) {
    const answer = await lists.read(client, question, isPartial);
    if (typeof answer === "string") {
      check(false, `a list of "${question.prefix}" was not answered: ${answer}`);
      continue;
    }
    const findings = judgeList(histories, question, answer, (key) => !isPartial || !isUnqueued(key));
    workload.findings.push(...findings);
    found += findings.length;
    listed += answer.objects.length;
  }
  const what = isPartial ? "without R2, what is queued" : "everything";
  timeline.say(`listed ${what}, ${LISTS.length} ways: ${listed} keys, ${found} wrong`);
}

/** Without R2 no list is complete: to answer with what is queued alone, unasked, would be to hide files. */
async function listWithoutR2(): Promise<void> {
  const [everything] = LISTS;
  const whole = await lists.read(client, everything, false);
  check(typeof whole === "string" && whole.startsWith("503"), "a list claimed to be complete without R2");
  await listEverything(true);
}

async function goOnWithUploads(stage: Stage): Promise<void> {
  await multipart.run(client, stage);
  const { stored, queued, aborted, open } = multipart.tally();
  timeline.say(`multipart uploads: ${stored} stored, ${queued} queued, ${aborted} aborted, ${open} go on`);
}

/** The story. Leaves its findings in `workload` and `failures`. */
async function drill(): Promise<void> {
  const seed = Number(flags.seed);
  const random = seededRandom(seed);
  const files = random.shuffled(await readCorpus(PACKAGE, random, flags.quick));
  const uploads = new Uploads(random, files);
  const quarter = Math.ceil(files.length / 4);
  const [first, second, third] = [0, 1, 2].map((part) => files.slice(part * quarter, (part + 1) * quarter));
  const large = files.filter(({ key }) => key === LARGE_KEY);
  timeline.say(`drill with seed ${seed}: ${files.length} files`);

  await start();
  for (const [section, key, value] of CONFIG) await client.setConfig(section, key, value);
  timeline.say("the system is up, with short timers");

  await workload.run(client, firstUploads(uploads, files));
  timeline.say(`uploaded ${files.length} files to R2`);
  for (const key of multipart.keys) workload.histories.set(key, acknowledged(UNWRITTEN, null));
  await workload.run(client, multipart.predecessors());
  await goOnWithUploads("health");
  check(workload.tally.queued === 0, `${workload.tally.queued} writes were queued while R2 was well`);
  await readEverything(none);
  await listEverything(false);

  await client.setFaults(WRITES_FAIL);
  timeline.mark("cut", "R2 refuses every write (10001)");
  await workload.run(client, mixedWrites(uploads, first ?? [], "outage-1"));
  await watch.until("open", ({ circuits }) => circuits.write.state !== "CLOSED", OPENS_WITHIN_MS);
  await workload.run(client, plainWrites(uploads, large));
  await goOnWithUploads("outage");
  timeline.say(`${workload.tally.queued} writes accepted into the queue`);
  await readEverything(isHidden);
  await listEverything(false);
  check(timeline.at("read OPEN") === null, "the read circuit opened although only writes failed");

  await client.setFaults(EVERYTHING_FAILS);
  timeline.mark("all cut", "R2 refuses everything");
  await workload.run(client, mixedWrites(uploads, second ?? [], "outage-2"));
  timeline.say(`${workload.tally.queued} writes accepted into the queue`);
  const isBeyondReach = (key: string): boolean => isUnqueued(key) || isHidden(key);
  await readEverything(isBeyondReach);
  await listWithoutR2();

  const interrupted = Promise.all([
    workload.run(client, mixedWrites(uploads, third ?? [], "power-cut")),
    multipart.run(client, "cut"),
  ]);
  await sleep(150);
  await powerCut("in the outage, with writes in flight");
  await interrupted;
  check((await client.faults()).length > 0, "the outage ended by the restart");
  await goOnWithUploads("cut");
  await readEverything(isBeyondReach);
  await listWithoutR2();
  await workload.run(client, plainWrites(uploads, files, "backlog/"));
  const { queued } = await watch.until("queued", (status) => status.queued > 0, OPENS_WITHIN_MS);
  timeline.say(`${queued} operations wait`);

  await client.setFaults(SLOW_WRITES);
  timeline.mark("healed", "R2 answers again, slowly at first; from here on nobody reads or writes a file");
  const cut = await watch.until("draining", (now) => now.queued < queued && now.queued > 0, DRAINS_WITHIN_MS);
  await powerCut(`in the drain, with ${cut.queued} operations left`);
  await client.clearFaults();
  timeline.say("R2 is as fast as ever");
  await watch.until("drained and closed", (now) => now.queued === 0 && isClosed(now), DRAINS_WITHIN_MS);
  await listEverything(false);
  await goOnWithUploads("recovered");
  await watch.until("drained again", (now) => now.queued === 0, DRAINS_WITHIN_MS);
  timeline.say("the queue is empty again");
  const { total_size, failed, bytes, unreachable_shards } = await client.queue();
  check(
    total_size + failed + bytes + unreachable_shards === 0,
    `the shards still hold ${total_size} operations, ${failed} dead, and ${bytes} bytes`,
  );

  await readEverything(none);
  await listEverything(false);
  await watch.stop();
  check(await system.stop(), "the system did not end on Ctrl-C");
  const objects = await readBucket(directory);
  const found = workload.compare(objects);
  workload.findings.push(...found);
  timeline.say(`R2, read without this system: ${objects.size} objects, ${found.length} not as acknowledged`);
}

function tellTimeline(): void {
  const after = (name: string, since: string): string => {
    const [at, start] = [timeline.at(name), timeline.at(since)];
    return at === null || start === null ? "never" : `${(at - start).toFixed(2)} s`;
  };
  const calls = [...watch.callsWhileOpen()].map(([who, count]) => `${who} ${count}`).join(", ");
  const { stored, queued, refused, unanswered } = workload.tally;
  const ends = multipart.tally();
  console.log(`
first failure   ${after("first failure", "cut")} after the cut
opened          ${after("write OPEN", "first failure")} after the first failure
met R2 while open: ${calls === "" ? "not told" : calls}
healed          ${after("healed", "cut")} after the cut
closed          ${after("closed", "healed")} after the healing
drained         ${after("drained", "healed")} after the healing
writes          ${stored} stored, ${queued} queued, ${refused} refused, ${unanswered} unanswered
multipart       ${ends.stored} stored, ${ends.queued} queued, ${ends.aborted} aborted, ${ends.open} left open
lists           ${lists.tally.lists} of ${lists.tally.keys} keys on ${lists.tally.pages} pages
`);
}

function tellVerdict(isComplete: boolean): void {
  // A key can be found wrong at several stages: it counts once.
  const findings = [
    ...new Map(workload.findings.map((finding) => [`${finding.fault} ${finding.key}`, finding])).values(),
  ];
  for (const { key, fault, detail } of findings.slice(0, 20)) console.log(`${fault}: ${key}: ${detail}`);
  const { lost, wrong, resurrected, unexplained } = countFaults(findings);
  console.log(`also: unexplained ${unexplained}, failed checks ${failures.length}`);
  const so = isComplete ? "" : "broken off, with ";
  console.log(`verdict: ${so}lost ${lost}, wrong ${wrong}, resurrected ${resurrected}`);
}

let isComplete = false;
try {
  await drill();
  isComplete = true;
} catch (error) {
  check(false, String(error));
}
check(workload.refusals.length === 0, `writes were refused: ${workload.refusals.slice(0, 3).join("; ")}`);
check(multipart.problems.length === 0, `of the multipart uploads: ${multipart.problems.slice(0, 3).join("; ")}`);
check(!isComplete || multipart.tally().open === 0, `${multipart.tally().open} multipart uploads did not end`);
const isolateCalls = ["isolates read", "isolates write"].map((name) => watch.callsWhileOpen().get(name) ?? 0);
check(Math.max(...isolateCalls) <= IN_FLIGHT, `isolates called R2 ${isolateCalls.join(" + ")} times while it was open`);
tellTimeline();
tellVerdict(isComplete);
if (flags.keep) console.log(`kept: ${directory}`);
process.exit(failures.length === 0 && workload.findings.length === 0 ? 0 : 1);
