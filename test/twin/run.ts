/** Takes a service and its native twin through a program, and compares what they say. */
import { within } from "../../src/shared/within";
import { Bodies } from "../worker/model/bodies";
import { pause, type TestService } from "../worker/model/service";
import { type KnownTags, uploadOptionsOf } from "./arguments";
import { begin, listPage, type Ready, readyGet, readyHead, readyPut, removal, remove, sendPart } from "./calls";
import { Mismatch, NativeTwin, type Write } from "./native";
import { described, hasWritten, isSame, type Observation, observe } from "./observe";
import { partBody } from "./part-bodies";
import type { Program, Step } from "./program";
import { type Call, KEYS, type ListSpec } from "./spec";
import type { Tally } from "./tally";
import { UploadTwin } from "./upload-twin";
import { isBlinding, rulesOf, type Weather } from "./weather";

/** Many times what a call takes: it never answers. */
const STUCK_MS = 60_000;
const DRAIN_MS = 60_000;
const LOOK_EVERY_MS = 200;
/** A notice that a dead ServiceDO did not take is sent again within this. */
const NOTICE_AGAIN_MS = 2_500;
/** Circuits that opened on failed reads stay open, or let through a part, for a while after. */
const BLIND_AFTER_MS = 3_000;
const ABORT_AFTER_MS = 3;
/** An answer that took so long may have been given without R2, which is given up after 300 ms: the machine is busy. */
const SLOW_MS = 120;

export interface Surroundings {
  readonly service: TestService;
  /** R2 as our bucket has it, without our code in between. */
  readonly raw: R2Bucket;
  readonly native: R2Bucket;
  readonly tally: Tally;
  setLateReplies(ms: number): void;
}

export class Run {
  readonly #around: Surroundings;
  readonly #program: Program;
  readonly #twin: NativeTwin;
  readonly #bodies: Bodies;
  readonly #trace: string[] = [];
  readonly #startedAt = Date.now();
  readonly #earlierEtags = new Map<string, string>();
  /** The isolate that wrote a key last, until a lease has passed: the others need not know of it. */
  readonly #writtenBy = new Map<string, number>();
  /** The isolate that queued a write of a key, until the others have heard of it. */
  readonly #queuedBy = new Map<string, number>();
  /** Where the latest list goes on, in either bucket. */
  #cursors: { readonly list: ListSpec; readonly ours: string; readonly natives: string } | null = null;
  /** The latest upload of each slot. */
  readonly #uploads = new Map<number, UploadTwin>();
  readonly #begun: UploadTwin[] = [];
  #soon: Promise<void> = Promise.resolve();
  #blindUntil = 0;
  #serviceDiedAt = 0;
  #askedAt = 0;

  constructor(around: Surroundings, program: Program) {
    this.#around = around;
    this.#program = program;
    this.#twin = new NativeTwin(around.native);
    this.#bodies = new Bodies(around.service.name);
  }

  /** Rejects with what was told, what should have been, and what happened until then. */
  async toTheEnd(): Promise<void> {
    try {
      await this.#steps();
    } catch (error) {
      throw new Error(`${String(error)}\n${this.#trace.join("\n")}`);
    }
  }

  async #steps(): Promise<void> {
    for (const step of this.#program.steps) {
      for (const weather of step.weather) await this.#change(weather);
      this.#note(`${step.isolate}${step.isStrong ? "!" : " "} ${JSON.stringify(step.call)}`);
      await within(this.#take(step), STUCK_MS, () => new Error(`no answer for ${STUCK_MS} ms`));
      await this.#soon;
    }
    await this.#finish();
  }

  #note(text: string): void {
    this.#trace.push(`  ${String(Date.now() - this.#startedAt).padStart(5)} ${text}`);
  }

  // ── weather ───────────────────────────────────────────────────────────────────────────────────────────────────

  async #change(weather: Weather): Promise<void> {
    const { service } = this.#around;
    this.#note(JSON.stringify(weather));
    const wasBlind = this.#blindUntil > Date.now();
    if (isBlinding(weather)) this.#blindUntil = Number.POSITIVE_INFINITY;
    else if (wasBlind && (weather.do === "faults" || weather.do === "recover")) {
      this.#blindUntil = Date.now() + BLIND_AFTER_MS;
    }
    switch (weather.do) {
      case "faults":
        return service.setFaults(rulesOf(weather.name), this.#those(weather.told));
      case "degrade":
      case "recover":
        return service.setMode(weather.do === "degrade" ? "forced_open" : "auto", this.#those(weather.told));
      case "abort_shard": {
        const shard = service.shardOf(this.#key(weather.key));
        if (!weather.soon) return service.abortShard(shard);
        this.#soon = pause(ABORT_AFTER_MS).then(() => service.abortShard(shard));
        return;
      }
      case "abort_service":
        this.#serviceDiedAt = Date.now();
        return service.abortService();
      case "pause":
      case "resume":
        return service.setPaused(weather.do === "pause");
      case "refresh":
        await service.refresh();
        if (this.#isServiceWell) this.#queuedBy.clear();
        return;
      case "lease":
        await pause(this.#program.leaseCapMs + 20);
        if (this.#isServiceWell) this.#everybodyKnows();
        return;
      case "late_replies":
        return this.#around.setLateReplies(weather.ms);
      case "wait":
        return pause(weather.ms);
    }
  }

  get #isServiceWell(): boolean {
    return Date.now() - this.#serviceDiedAt > NOTICE_AGAIN_MS + this.#program.leaseCapMs;
  }

  #everybodyKnows(): void {
    this.#queuedBy.clear();
    this.#writtenBy.clear();
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async #take({ call, isolate, isStrong }: Step): Promise<void> {
    this.#askedAt = Date.now();
    switch (call.do) {
      case "put":
        return this.#put(call, isolate);
      case "get":
        return this.#read(call, isolate, isStrong, readyGet(call, this.#known(call.key)));
      case "head":
        return this.#read(call, isolate, isStrong, readyHead);
      case "delete":
        return this.#delete(call, isolate);
      case "list":
        return this.#list(call, isolate, isStrong);
      case "begin":
        return this.#begin(call, isolate);
      case "part":
        return this.#part(call, isolate);
      case "complete":
        return this.#complete(call, isolate);
      case "abort": {
        const upload = this.#uploads.get(call.slot);
        return upload && this.#abort(upload, isolate);
      }
    }
  }

  async #put(call: Extract<Call, { do: "put" }>, isolate: number): Promise<void> {
    const key = this.#key(call.key);
    const known = this.#known(call.key);
    const put = await readyPut(call, call.key, known, this.#bodies);
    const told = this.#told(call.do, await put.askOurs(this.#isolate(isolate).bounded, key));
    const { native } = this.#around;
    const write = {
      ask: (at: string) => put.ask(native, at),
      make: (at: string) => put.make(native, at),
      etag: put.etag,
    };
    await this.#stored(key, isolate, told, write);
  }

  /** A put, or what is like one. */
  async #stored(key: string, isolate: number, told: Observation, write: Write): Promise<void> {
    const current = this.#twin.etagOf(key);
    if (hasWritten(told) && told.kind === "answered") {
      if (current !== null) this.#earlierEtags.set(key, current);
      if (told.isQueued) {
        this.#queuedBy.set(key, isolate);
        this.#twin.settle(key);
      } else if ((this.#queuedBy.get(key) ?? isolate) !== isolate) {
        await this.#twin.overtake(key);
      }
    }
    await this.#written(key, isolate, told, write);
  }

  async #delete(call: Extract<Call, { do: "delete" }>, isolate: number): Promise<void> {
    const keys = call.keys.map((key) => this.#key(key));
    const [first = ""] = keys;
    const bucket = this.#isolate(isolate).bounded;
    const told = this.#told(call.do, await remove(bucket, keys.length > 1 || call.isList ? keys : first));
    for (const key of keys) {
      const write = removal(this.#around.native);
      if (told.kind === "answered") {
        this.#queuedBy.set(key, isolate);
        this.#twin.settle(key);
      }
      // Of several keys some may be deleted, although the call was refused.
      if (told.kind === "refused" && keys.length > 1) await this.#twin.mayBe(key, write);
      else await this.#written(key, isolate, told, write);
    }
  }

  async #begin(call: Extract<Call, { do: "begin" }>, isolate: number): Promise<void> {
    const { native } = this.#around;
    const key = this.#key(call.key);
    const options = uploadOptionsOf(call.options, `upload ${this.#begun.length}`);
    const { told, uploadId } = await begin(this.#isolate(isolate).bounded, key, options);
    this.#told(call.do, told);
    this.#uploads.delete(call.slot);
    if (told.kind === "refused") return;
    const twin = await begin(native, key, options);
    if (!isSame(twin.told, told)) throw new Mismatch(`an upload of ${key}`, told, [twin.told]);
    if (uploadId === null || twin.uploadId === null) return;
    await native.resumeMultipartUpload(key, twin.uploadId).abort();
    const upload = new UploadTwin(native, key, uploadId, options);
    this.#uploads.set(call.slot, upload);
    this.#begun.push(upload);
  }

  async #part(call: Extract<Call, { do: "part" }>, isolate: number): Promise<void> {
    const upload = this.#uploads.get(call.slot);
    if (upload === undefined) return;
    const body = await partBody(call.body, 0, this.#bodies);
    const answer = await sendPart(this.#resumed(upload, isolate), call.number, body);
    this.#told(call.do, answer.told);
    await upload.part({ number: call.number, bytes: body.bytes }, answer);
    if (upload.isLost) this.#uploads.delete(call.slot);
  }

  async #complete(call: Extract<Call, { do: "complete" }>, isolate: number): Promise<void> {
    const upload = this.#uploads.get(call.slot);
    if (upload === undefined) return;
    const { key } = upload;
    const named = upload.named(call.parts);
    const told = await observe(async () =>
      described(await this.#resumed(upload, isolate).complete(upload.ours(named)), key),
    );
    this.#told(call.do, told);
    await this.#stored(key, isolate, told, await upload.complete(named, told));
  }

  async #abort(upload: UploadTwin, isolate: number): Promise<void> {
    const told = await observe(async () => {
      await this.#resumed(upload, isolate).abort();
      return "aborted";
    });
    this.#told("abort", told);
    await upload.abort(told);
  }

  #resumed({ key, uploadId }: UploadTwin, isolate: number) {
    return this.#isolate(isolate).bounded.resumeMultipartUpload(key, uploadId);
  }

  async #written(key: string, isolate: number, told: Observation, write: Write): Promise<void> {
    if (hasWritten(told) || told.kind === "refused") {
      this.#writtenBy.set(key, isolate);
      // A native cursor stands at the last key below a prefix: one that comes after it would give the prefix again.
      if (this.#cursors?.list.delimiter != null) this.#cursors = null;
    }
    await this.#twin.write(key, told, write, this.#isBlind);
  }

  async #read(call: Extract<Call, { key: number }>, isolate: number, isStrong: boolean, ask: Ready): Promise<void> {
    const key = this.#key(call.key);
    const { bounded, strong } = this.#isolate(isolate);
    const isKnown = (this.#writtenBy.get(key) ?? isolate) === isolate;
    const isBlind = this.#isBlind;
    const told = this.#told(call.do, await ask(isKnown && !isStrong ? bounded : strong, key));
    await this.#twin.read(key, told, (at) => ask(this.#around.native, at), isBlind || this.#isBlind);
  }

  async #list(call: Extract<Call, { do: "list" }>, isolate: number, isStrong: boolean): Promise<void> {
    const below = this.#key("");
    const { bounded, strong } = this.#isolate(isolate);
    const isKnown = [...this.#writtenBy.values()].every((writer) => writer === isolate);
    const from = call.goesOn ? this.#cursors : null;
    const list = from?.list ?? call.list;
    const isBlind = this.#isBlind;
    const page = await listPage(isKnown && !isStrong ? bounded : strong, list, below, from?.ours ?? null);
    this.#told(call.do, page.told);
    let natives: string | null = null;
    const ask = async () => {
      const native = await listPage(this.#around.native, list, below, from?.natives ?? null);
      natives = native.cursor;
      return native.told;
    };
    await this.#twin.list(page.told, ask, isBlind || this.#isBlind);
    if (page.told.kind === "refused") return;
    this.#cursors = page.cursor === null || natives === null ? null : { list, ours: page.cursor, natives };
  }

  #told(method: Call["do"], told: Observation): Observation {
    this.#note(`   ${JSON.stringify(told)}`);
    this.#around.tally.count(method, told);
    const now = Date.now();
    if (now - this.#askedAt > SLOW_MS) this.#blindUntil = Math.max(this.#blindUntil, now + BLIND_AFTER_MS);
    return told;
  }

  get #isBlind(): boolean {
    return Date.now() < this.#blindUntil;
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** R2 is well, the queue drains: both buckets hold the same, whoever asks for it. */
  async #finish(): Promise<void> {
    const { service, raw, native } = this.#around;
    this.#note("the end");
    this.#around.setLateReplies(0);
    await service.heal();
    // What nobody completes is kept, for a week.
    for (const upload of this.#begun) await this.#abort(upload, 0);
    await service.drained(DRAIN_MS, LOOK_EVERY_MS);
    const whole = readyGet({ do: "get", key: 0, range: null, condition: null, reads: "bytes" }, NO_TAGS);
    for (const n of KEYS.keys()) {
      const key = this.#key(n);
      await this.#twin.read(key, await whole(raw, key), (at) => whole(native, at), false);
    }
    await pause(this.#program.leaseCapMs + 20);
    for (const { bounded } of service.isolates) {
      const { told } = await listPage(bounded, ALL, this.#key(""), null);
      await this.#twin.list(told, async () => (await listPage(native, ALL, this.#key(""), null)).told, false);
    }
  }

  #key(n: number | ""): string {
    return `${this.#around.service.name}/${n === "" ? "" : KEYS[n]}`;
  }

  #known(n: number): KnownTags {
    const key = this.#key(n);
    return { current: this.#twin.etagOf(key), earlier: this.#earlierEtags.get(key) ?? null };
  }

  #those(told: number | null) {
    return told === null ? this.#around.service.isolates : [this.#isolate(told)];
  }

  #isolate(n: number) {
    const isolate = this.#around.service.isolates[n];
    if (isolate === undefined) throw new Error(`no isolate ${n}`);
    return isolate;
  }
}

const ALL: ListSpec = {
  ...{ prefix: "", delimiter: null, limit: null, startAfter: null },
  include: ["httpMetadata", "customMetadata"],
};
const NO_TAGS: KnownTags = { current: null, earlier: null };
