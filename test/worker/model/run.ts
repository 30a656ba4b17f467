/** Takes a service and its model through a program, and compares what they say. */
import { env } from "cloudflare:workers";
import type { FailoverBucket } from "../../../src/bucket/failover-bucket";
import { Bodies, type Content } from "./bodies";
import { BLINDING, FAULTS, ISOLATES, KEYS, type Program, type Put, type Step, type Write } from "./program";
import {
  ABSENT,
  afterBoth,
  afterCancel,
  afterDrain,
  afterLeases,
  afterWrite,
  type Condition,
  type KeyModel,
  newKey,
  type StateId,
  type Told,
  type WriteEvent,
} from "./reference";
import { pause, type TestService } from "./service";

const DRAIN_MS = 12_000;
const FINAL = new Set(["COMPLETED", "CANCELLED", "SUPERSEDED"]);
/** A notice that a dead ServiceDO did not take is sent again within this. */
const NOTICE_AGAIN_MS = 2_500;

class Violation extends Error {}

export class Run {
  readonly #service: TestService;
  readonly #program: Program;
  readonly #bodies: Bodies;
  readonly #keys: KeyModel[] = Array.from({ length: KEYS }, () => newKey(ISOLATES));
  readonly #trace: string[] = [];
  readonly #startedAt = Date.now();
  /** Operations that were acknowledged, with their keys. */
  readonly #queued: { readonly id: string; readonly key: number }[] = [];
  readonly #ends = new Map<string, string>();
  /** Reads have been failing: until their circuit has closed again, R2 is not always asked. */
  #isBlind = false;
  #serviceDiedAt = 0;

  constructor(service: TestService, program: Program) {
    this.#service = service;
    this.#program = program;
    this.#bodies = new Bodies(service.name);
  }

  /** Throws a `Violation` that says what happened, step by step. */
  async toTheEnd(): Promise<void> {
    try {
      for (const step of this.#program.steps) {
        this.#note(JSON.stringify(step));
        await this.#take(step);
        await this.#watchEnds();
      }
      await this.#finish();
    } catch (error) {
      const told = error instanceof Violation ? error.message : String(error instanceof Error ? error.stack : error);
      throw new Violation(`${told}\n${this.#trace.join("\n")}`);
    }
  }

  #note(text: string): void {
    this.#trace.push(`  ${String(Date.now() - this.#startedAt).padStart(5)} ${text}`);
  }

  // ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #take(step: Step): Promise<void> {
    const service = this.#service;
    switch (step.do) {
      case "put":
      case "delete":
        this.#happened(step.key, [await this.#write(step)]);
        return this.#readBack(step);
      case "both": {
        const { one, other } = step;
        const dies = step.dies ? this.#dieSoon(one.key) : Promise.resolve();
        const [first, second] = await Promise.all([this.#write(one), this.#write(other), dies]);
        if (one.key === other.key) this.#happened(one.key, [first, second]);
        else {
          this.#happened(one.key, [first]);
          this.#happened(other.key, [second]);
        }
        await this.#readBack(one);
        return this.#readBack(other);
      }
      case "read":
        return this.#read(step.isolate, step.key, step.how, step.isStrong);
      case "faults":
        this.#isBlind ||= BLINDING.has(step.name);
        return service.setFaults(FAULTS[step.name], this.#those(step.told));
      case "abort_shard":
        return service.abortShard(service.shardOf(service.key(step.key)));
      case "abort_service":
        this.#serviceDiedAt = Date.now();
        return service.abortService();
      case "pause":
      case "resume":
        return service.setPaused(step.do === "pause");
      case "degrade":
        return service.setMode("forced_open", this.#those(step.told));
      case "recover":
        return service.setMode("auto", this.#those(step.told));
      case "lease":
        return this.#waitForLeases();
      case "refresh":
        return service.refresh();
      case "cancel":
        return this.#cancel(step.which);
      case "retry": {
        const operation = this.#queued[step.which];
        return operation === undefined ? undefined : service.retry(operation.id);
      }
      case "wait":
        return pause(step.ms);
    }
  }

  async #dieSoon(key: number): Promise<void> {
    await pause(3);
    await this.#service.abortShard(this.#service.shardOf(this.#service.key(key)));
  }

  async #cancel(which: number): Promise<void> {
    const operation = this.#queued[which];
    if (operation === undefined) return;
    const isCancelled = await this.#service.cancel(operation.id);
    this.#note(`  cancelled: ${isCancelled}`);
    if (isCancelled) this.#keys[operation.key] = afterCancel(this.#model(operation.key));
  }

  /** After a lease everybody sees what was acknowledged, wherever it was. */
  async #waitForLeases(): Promise<void> {
    await pause(this.#program.leaseCapMs + 20);
    if (Date.now() - this.#serviceDiedAt < NOTICE_AGAIN_MS + this.#program.leaseCapMs) return;
    for (const [key, model] of this.#keys.entries()) this.#keys[key] = afterLeases(model);
  }

  // ── writes ────────────────────────────────────────────────────────────────────────────────────────────────────

  async #write(step: Write): Promise<WriteEvent> {
    const bucket = this.#isolate(step.isolate).bounded;
    const condition = step.do === "put" ? this.#condition(step) : null;
    const { state, told } =
      step.do === "put" ? await this.#put(bucket, step, condition) : await this.#remove(bucket, step);
    this.#note(`  ${step.do} key ${step.key} by ${step.isolate}: ${state} ${told}`);
    return { isolate: step.isolate, state, condition, told, isBlind: this.#isBlind };
  }

  async #put(bucket: FailoverBucket, step: Put, condition: Condition | null): Promise<{ state: StateId; told: Told }> {
    const { content, value, size, reuse } = await this.#bodies.make(step.body, step.key);
    const { id } = content;
    const options = {
      ...content.options,
      priority: step.priority,
      ...(size !== undefined && { size }),
      ...(condition !== null && { onlyIf: onlyIf(condition) }),
    };
    try {
      const outcome = await bucket.write(this.#service.key(step.key), value, options);
      reuse();
      if (outcome.kind === "queued") this.#queued.push({ id: outcome.operation.operationId, key: step.key });
      if (outcome.kind !== "condition_failed") this.#sameAs(content, outcome.object);
      return { state: id, told: outcome.kind };
    } catch (error) {
      reuse();
      return { state: id, told: this.#toldBy(error) };
    }
  }

  async #remove(bucket: FailoverBucket, step: Write): Promise<{ state: StateId; told: Told }> {
    try {
      const outcome = await bucket.remove(this.#service.key(step.key));
      if (outcome.kind === "deleted") return { state: ABSENT, told: "stored" };
      this.#queued.push(...outcome.operations.map(({ operationId }) => ({ id: operationId, key: step.key })));
      return { state: ABSENT, told: "queued" };
    } catch (error) {
      return { state: ABSENT, told: this.#toldBy(error) };
    }
  }

  #toldBy(error: unknown): Told {
    const { name, code, outcomeUnknown } = error as { name?: string; code?: string; outcomeUnknown?: boolean };
    this.#note(`  ${String(error)}`);
    if (name !== "FailoverError") throw new Violation(`the write threw ${String(error)}`);
    if (code !== "SERVICE_UNAVAILABLE" && code !== "CONDITION_UNVERIFIABLE") throw new Violation(`refused: ${code}`);
    return outcomeUnknown === true ? "unknown" : "refused";
  }

  #happened(key: number, events: readonly WriteEvent[]): void {
    const model = this.#model(key);
    const etagOf = (state: StateId) => this.#bodies.etagOf(state);
    const [one, other] = events;
    let after: KeyModel | null = model;
    if (one !== undefined)
      after = other === undefined ? afterWrite(model, one, etagOf) : afterBoth(model, one, other, etagOf);
    if (after === null) {
      throw new Violation(
        `no state of key ${key} explains ${JSON.stringify(events)}; it was one of ${[...model.current]}`,
      );
    }
    this.#keys[key] = after;
  }

  #condition(step: Put): Condition | null {
    const [current = ABSENT] = this.#model(step.key).current;
    const etag = this.#bodies.etagOf(current) ?? "0123456789abcdef0123456789abcdef";
    switch (step.condition) {
      case null:
        return null;
      case "matches_current":
        return { if: "etag_matches", etag };
      case "matches_nothing":
        return { if: "etag_matches", etag: "00000000000000000000000000000000" };
      case "create":
        return { if: "etag_differs", etag: "*" };
      case "differs_from_current":
        return { if: "etag_differs", etag };
    }
  }

  // ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #readBack(step: Write): Promise<void> {
    return this.#read(step.isolate, step.key, "get", false);
  }

  async #read(isolate: number, key: number, how: "get" | "head" | "range", isStrong: boolean): Promise<void> {
    const { bounded, strong } = this.#isolate(isolate);
    const state = await this.#stateRead(isStrong ? strong : bounded, key, how);
    if (state === null) return;
    const model = this.#model(key);
    const allowed = new Set(isStrong ? model.current : model.seen[isolate]);
    if (this.#isBlind) for (const unsure of model.unsure[isolate] ?? []) allowed.add(unsure);
    if (allowed.has(state)) return;
    const reader = `a ${isStrong ? "strong" : "bounded"} ${how} by ${isolate}`;
    throw new Violation(`${reader} of key ${key} answers ${state}, and not one of ${[...allowed]}`);
  }

  /** Null: R2 does not answer, and the queue has nothing to say. */
  async #stateRead(bucket: FailoverBucket, n: number, how: "get" | "head" | "range"): Promise<StateId | null> {
    const key = this.#service.key(n);
    try {
      if (how === "head") return this.#stateOf(await bucket.head(key));
      const range = { offset: 1, length: 3 };
      const object = await bucket.get(key, how === "range" ? { range } : {});
      const state = this.#stateOf(object);
      if (object === null) return state;
      const bytes = await object.bytes();
      this.#bodies.expectBytes(state, bytes, how === "range" ? range : null);
      return state;
    } catch (error) {
      const { name, code } = error as { name?: string; code?: string };
      // R2 refuses a range over an empty object.
      if (how === "range" && String(error).includes("10039")) return null;
      if (name === "FailoverError" && code === "SERVICE_UNAVAILABLE") return null;
      throw error;
    }
  }

  /** The state that an object says it is, with all that belongs to it. */
  #stateOf(object: R2Object | null): StateId {
    if (object === null) return ABSENT;
    const content = this.#bodies.content(object.customMetadata?.id ?? "?");
    this.#sameAs(content, object);
    return content.id;
  }

  #sameAs(content: Content, object: R2Object): void {
    const told = [object.etag, object.size, object.customMetadata?.id, object.httpMetadata?.contentType];
    const made = [content.etag, content.size, content.id, content.options.httpMetadata.contentType];
    if (JSON.stringify(told) !== JSON.stringify(made)) throw new Violation(`${told} was told of ${made}`);
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** An operation that has ended has ended for good. */
  async #watchEnds(): Promise<void> {
    for (const { operation_id, status } of await this.#service.operations()) {
      const end = this.#ends.get(operation_id);
      if (end !== undefined && end !== status) throw new Violation(`${operation_id} was ${end} and is ${status}`);
      if (FINAL.has(status)) this.#ends.set(operation_id, status);
    }
  }

  async #finish(): Promise<void> {
    this.#note("heal");
    await this.#service.heal();
    await this.#service.drained(DRAIN_MS);
    await this.#watchEnds();
    for (const { id } of this.#queued) {
      if (!this.#ends.has(id)) throw new Violation(`${id} was acknowledged, and has not ended`);
    }
    for (const [key, model] of this.#keys.entries()) {
      const object = await env.R2_BUCKET.get(this.#service.key(key));
      const state = this.#stateOf(object);
      if (object !== null) this.#bodies.expectBytes(state, await object.bytes(), null);
      if (!model.current.has(state)) {
        throw new Violation(`R2 holds ${state} at key ${key} after the drain, and not one of ${[...model.current]}`);
      }
      this.#keys[key] = afterDrain({ ...model, current: new Set([state]) });
    }
    await pause(this.#program.leaseCapMs);
    this.#isBlind = false;
    for (let isolate = 0; isolate < ISOLATES; isolate += 1) {
      for (let key = 0; key < KEYS; key += 1) {
        await this.#read(isolate, key, "get", false);
        await this.#read(isolate, key, "head", true);
      }
    }
  }

  #those(told: number | null) {
    return told === null ? this.#service.isolates : [this.#isolate(told)];
  }

  #isolate(n: number) {
    const isolate = this.#service.isolates[n];
    if (isolate === undefined) throw new Error(`no isolate ${n}`);
    return isolate;
  }

  #model(key: number): KeyModel {
    const model = this.#keys[key];
    if (model === undefined) throw new Error(`no key ${key}`);
    return model;
  }
}

function onlyIf(condition: Condition): R2Conditional {
  return condition.if === "etag_matches" ? { etagMatches: condition.etag } : { etagDoesNotMatch: condition.etag };
}
