/** Multipart uploads that are begun, go on and end in different stages of the drill, some of them in pieces after a power cut. */
import { createHash } from "node:crypto";
import { type Answer, type Client, storedValue, type WriteAnswer } from "./client.ts";
import { eachConcurrently } from "./concurrently.ts";
import type { StoredValue } from "./oracle.ts";
import type { Random } from "./random.ts";
import type { Script } from "./scripts.ts";

/** In the order in which the drill comes to them. `cut`: R2 refuses everything, and the power fails. */
const STAGES = ["health", "outage", "cut", "recovered"] as const;
export type Stage = (typeof STAGES)[number];

/** When each thing is done. `again`: the first part is uploaded with other bytes when the upload is begun, and then anew. */
interface Journey {
  readonly begin: Stage;
  readonly parts: readonly Stage[];
  readonly again?: Stage;
  readonly end: Stage;
  readonly ends: "completed" | "aborted";
}

const JOURNEYS: readonly Journey[] = [
  { begin: "health", parts: ["health", "health"], end: "health", ends: "completed" },
  { begin: "health", parts: ["health", "health"], end: "outage", ends: "completed" },
  { begin: "health", parts: ["health", "outage"], end: "outage", ends: "completed" },
  { begin: "health", parts: ["outage", "outage"], end: "outage", ends: "completed" },
  { begin: "outage", parts: ["outage", "outage"], end: "outage", ends: "completed" },
  { begin: "health", parts: ["health", "outage"], again: "outage", end: "cut", ends: "completed" },
  { begin: "health", parts: ["health", "cut"], end: "cut", ends: "completed" },
  { begin: "outage", parts: ["outage", "cut"], end: "cut", ends: "completed" },
  { begin: "cut", parts: ["cut", "cut"], end: "cut", ends: "completed" },
  { begin: "cut", parts: ["cut"], end: "cut", ends: "completed" },
  { begin: "outage", parts: ["outage", "outage"], end: "recovered", ends: "completed" },
  { begin: "outage", parts: ["outage", "recovered"], again: "cut", end: "recovered", ends: "completed" },
  { begin: "health", parts: ["health", "health"], end: "recovered", ends: "completed" },
  { begin: "health", parts: ["health", "outage"], end: "recovered", ends: "completed" },
  { begin: "health", parts: ["health"], end: "health", ends: "aborted" },
  { begin: "health", parts: ["health", "outage"], end: "outage", ends: "aborted" },
  { begin: "outage", parts: ["outage"], end: "outage", ends: "aborted" },
  { begin: "cut", parts: ["cut"], end: "cut", ends: "aborted" },
  { begin: "outage", parts: ["outage"], end: "recovered", ends: "aborted" },
  { begin: "health", parts: ["outage"], end: "recovered", ends: "aborted" },
];

/** No part but the last may be smaller in R2. */
const PART_BYTES = 5 * 1024 * 1024;
const NEW = "multipart/new/";
const OVER = "multipart/over/";
const CONCURRENCY = 4;
const NO_SUCH_UPLOAD = /10024/;

interface Part {
  readonly number: number;
  readonly stage: Stage;
  readonly body: Uint8Array;
}

interface Upload extends Journey {
  readonly key: string;
  readonly contentType: string;
  readonly customMetadata: Readonly<Record<string, string>>;
  readonly value: StoredValue;
  /** What is yet to be sent, in this order. */
  readonly toSend: Part[];
  /** By number, as the client was told. */
  readonly etags: Map<number, string>;
  uploadId: string | null;
  /** How its end was answered. */
  ended: "stored" | "queued" | "aborted" | null;
}

/** What the oracle is told of a completion. */
export type Note = (key: string, what: string, value: StoredValue, answer: WriteAnswer) => void;

export class MultipartUploads {
  readonly #uploads: readonly Upload[];
  readonly #note: Note;
  /** What was not answered as it must be. */
  readonly problems: string[] = [];

  /** Each journey once to a new key, and once to a key that holds an object before; `isQuick`: to one of them in turns. */
  constructor(random: Random, note: Note, isQuick: boolean) {
    this.#note = note;
    const [fresh, over] = [JOURNEYS, JOURNEYS].map((journeys, kind) =>
      journeys.filter((_, index) => !isQuick || index % 2 === kind),
    );
    this.#uploads = [
      ...(fresh ?? []).map((journey) => ({ journey, folder: NEW })),
      ...(over ?? []).map((journey) => ({ journey, folder: OVER })),
    ].map(({ journey, folder }, index) => newUpload(random, journey, folder, index));
  }

  get keys(): string[] {
    return this.#uploads.map(({ key }) => key);
  }

  /** What every second key holds before. */
  predecessors(): Script[] {
    const body = new TextEncoder().encode("what was there before");
    const upload = { body, contentType: "text/plain; charset=utf-8", customMetadata: { origin: "drill" } };
    return this.keys.filter((key) => key.startsWith(OVER)).map((key) => ({ key, steps: [{ op: "put", upload }] }));
  }

  /** Whether the key's last write is a queued upload with parts in R2: nobody can read them before R2 has completed it. */
  isHidden(key: string): boolean {
    const upload = this.#uploads.find((candidate) => candidate.key === key);
    return upload?.ended === "queued" && upload.parts.includes("health");
  }

  tally(): Record<"stored" | "queued" | "aborted" | "open", number> {
    const counts = { stored: 0, queued: 0, aborted: 0, open: 0 };
    for (const { ended } of this.#uploads) counts[ended ?? "open"] += 1;
    return counts;
  }

  /** Does what is due. Ends early when the server dies; called again, it goes on from there. */
  async run(client: Client, stage: Stage): Promise<void> {
    let isDead = false;
    const isDue = (when: Stage) => STAGES.indexOf(when) <= STAGES.indexOf(stage);
    await eachConcurrently(this.#uploads, CONCURRENCY, async (upload) => {
      if (isDead || !isDue(upload.begin) || upload.ended !== null) return;
      isDead = !(await this.#advance(client, upload, isDue)) || isDead;
    });
  }

  /** False: nobody answers any more. */
  async #advance(client: Client, upload: Upload, isDue: (when: Stage) => boolean): Promise<boolean> {
    const { key } = upload;
    if (upload.uploadId === null) {
      const begun = await client.beginUpload(key, upload);
      if (begun.kind !== "done") return this.#failed(`begin ${key}`, begun);
      upload.uploadId = begun.value;
    }
    for (let part = upload.toSend[0]; part !== undefined && isDue(part.stage); part = upload.toSend[0]) {
      const sent = await client.uploadPart(key, upload.uploadId, part.number, part.body);
      if (sent.kind !== "done") return this.#failed(`part ${part.number} of ${key}`, sent);
      upload.etags.set(part.number, sent.value);
      upload.toSend.shift();
    }
    if (!isDue(upload.end)) return true;
    return upload.ends === "completed"
      ? this.#complete(client, upload, upload.uploadId)
      : this.#abort(client, upload, upload.uploadId);
  }

  async #complete(client: Client, upload: Upload, uploadId: string): Promise<boolean> {
    const { key, value, etags, end } = upload;
    // One id for all tries: an answer that nobody heard is given again.
    const answer = await client.completeUpload(key, uploadId, etags, `drill.${key.replaceAll(/\W/g, ".")}`);
    this.#note(key, "complete", value, answer);
    if (answer.kind === "refused" || answer.kind === "unanswered") return answer.kind === "refused";
    upload.ended = answer.kind;
    if (end === "health" && answer.kind !== "stored") this.problems.push(`${key} was queued while R2 was well`);
    return true;
  }

  async #abort(client: Client, upload: Upload, uploadId: string): Promise<boolean> {
    const { key, etags } = upload;
    const aborted = await client.abortUpload(key, uploadId);
    if (aborted.kind !== "done") return this.#failed(`abort ${key}`, aborted);
    upload.ended = "aborted";
    const late = await client.completeUpload(key, uploadId, etags, `drill.late.${key.replaceAll(/\W/g, ".")}`);
    if (late.kind === "unanswered") return false;
    if (late.kind !== "refused" || !NO_SUCH_UPLOAD.test(late.why)) {
      this.problems.push(`${key} was completed after its abort: ${JSON.stringify(late)}`);
    }
    return true;
  }

  #failed(what: string, answer: Exclude<Answer<unknown>, { kind: "done" }>): boolean {
    if (answer.kind === "refused") this.problems.push(`${what} was refused: ${answer.why}`);
    return answer.kind === "refused";
  }
}

function newUpload(random: Random, journey: Journey, folder: string, index: number): Upload {
  const last = journey.parts.length;
  const parts: Part[] = journey.parts.map((stage, at) => ({
    number: at + 1,
    stage,
    // A part that is not the last must be large; the last one of some is empty.
    body: random.bytes(at + 1 < last ? PART_BYTES : random.below(4) === 0 ? 0 : random.below(300_000)),
  }));
  const bodies = parts.map(({ body }) => body);
  const again = journey.again;
  const stale = again === undefined ? [] : [{ number: 1, stage: journey.begin, body: random.bytes(1_000) }];
  const toSend = [
    ...stale,
    ...random.shuffled(
      parts.map((part) => (part.number === 1 && again !== undefined ? { ...part, stage: again } : part)),
    ),
  ].sort((a, b) => STAGES.indexOf(a.stage) - STAGES.indexOf(b.stage));
  const contentType = "application/octet-stream";
  const customMetadata = { upload: String(index), origin: "drill" };
  const told = { etag: multipartEtag(bodies), contentType, customMetadata };
  return {
    ...journey,
    key: `${folder}${index} ${journey.begin} ${journey.end}`,
    ...{ contentType, customMetadata, toSend },
    value: storedValue(Buffer.concat(bodies), told),
    etags: new Map(),
    uploadId: null,
    ended: null,
  };
}

/** As R2 makes it: the MD5 of the parts' MD5s, and their number. */
function multipartEtag(bodies: readonly Uint8Array[]): string {
  const whole = createHash("md5");
  for (const body of bodies) whole.update(createHash("md5").update(body).digest());
  return `${whole.digest("hex")}-${bodies.length}`;
}
