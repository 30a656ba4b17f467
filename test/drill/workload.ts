/** Sends writes, reads everything back, and keeps the oracle's books meanwhile. */
import { type Client, md5, storedValue, type WriteAnswer } from "./client.ts";
import { eachConcurrently } from "./concurrently.ts";
import { acknowledged, type Finding, judge, type KeyHistory, UNWRITTEN, unanswered, type Value } from "./oracle.ts";
import type { Script, Step } from "./scripts.ts";

const CONCURRENCY = 8;

export interface ReadBack {
  readonly answered: number;
  /** Keys that were not read, each with the answer. */
  readonly unread: ReadonlyMap<string, string>;
  readonly findings: readonly Finding[];
  /** Answers by `x-failover-source`. */
  readonly sources: ReadonlyMap<string, number>;
}

export class Workload {
  readonly histories = new Map<string, KeyHistory>();
  readonly findings: Finding[] = [];
  /** Writes by how they were answered. */
  readonly tally: Record<WriteAnswer["kind"], number> = { stored: 0, queued: 0, refused: 0, unanswered: 0 };
  readonly refusals: string[] = [];
  /** Keys whose last write was acknowledged as queued. */
  readonly queuedKeys = new Set<string>();
  readonly #onAnswer: (answer: WriteAnswer) => void;

  constructor(onAnswer: (answer: WriteAnswer) => void) {
    this.#onAnswer = onAnswer;
  }

  /** Sends the scripts side by side. Ends early when the server has died: what was not sent is in no doubt. */
  async run(client: Client, scripts: readonly Script[]): Promise<void> {
    let isDead = false;
    await eachConcurrently(scripts, CONCURRENCY, async ({ key, steps }) => {
      for (const step of steps) {
        if (isDead) return;
        const answer = await this.#send(client, key, step);
        if (answer.kind === "unanswered") isDead = true;
      }
    });
  }

  /** Reads every key that was ever written and compares it with what is allowed. */
  async readBack(client: Client): Promise<ReadBack> {
    const unread = new Map<string, string>();
    const sources = new Map<string, number>();
    const findings: Finding[] = [];
    await eachConcurrently([...this.histories], CONCURRENCY, async ([key, history]) => {
      const answer = await client.get(key);
      if (answer.kind !== "found") {
        unread.set(key, answer.why);
        return;
      }
      const source = answer.source ?? "none";
      sources.set(source, (sources.get(source) ?? 0) + 1);
      const finding = judge(key, history, answer.value);
      if (finding !== null) findings.push(finding);
    });
    this.findings.push(...findings);
    return { answered: this.histories.size - unread.size, unread, findings, sources };
  }

  /** Compares all that R2 holds with what is allowed: every key that was written, and every key that is there. */
  compare(objects: ReadonlyMap<string, Value>): Finding[] {
    const keys = new Set([...this.histories.keys(), ...objects.keys()]);
    return [...keys].flatMap((key) => judge(key, this.histories.get(key), objects.get(key) ?? null) ?? []);
  }

  async #send(client: Client, key: string, step: Step): Promise<WriteAnswer> {
    const value = step.op === "put" ? putValue(step) : null;
    const answer = await (step.op === "put" ? client.put(key, step.upload) : client.delete(key));
    this.note(key, step.op, value, answer);
    return answer;
  }

  /** Takes down how a write was answered. `what`: its name. */
  note(key: string, what: string, value: Value, answer: WriteAnswer): void {
    const history = this.histories.get(key) ?? UNWRITTEN;
    this.tally[answer.kind] += 1;
    if (answer.kind === "stored" || answer.kind === "queued") {
      this.histories.set(key, acknowledged(history, value));
      if (answer.kind === "queued") this.queuedKeys.add(key);
      else this.queuedKeys.delete(key);
      if (value !== null && answer.etag !== null && answer.etag !== value.etag) {
        this.findings.push({ key, fault: "wrong", detail: `acknowledged with the etag ${answer.etag}` });
      }
    } else {
      // A refused write may have reached R2 all the same (its reply was lost), as may one that nobody answered.
      this.histories.set(key, unanswered(history, value));
      if (answer.kind === "refused") this.refusals.push(`${what} ${key}: ${answer.why}`);
    }
    this.#onAnswer(answer);
  }
}

function putValue({ upload }: Extract<Step, { op: "put" }>): Value {
  const { body, contentType, customMetadata } = upload;
  return storedValue(body, { etag: md5(body), contentType, customMetadata });
}
