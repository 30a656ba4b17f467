/**
 * A multipart upload beside its native twin: what it was sent, so that a native one that was sent the same can be asked.
 *
 * A part whose sending was refused with an unknown outcome may be there or not, and so may be a completion or an abort:
 * the upload has several states then. What it answers next tells which of them it is not in.
 */
import { toHex } from "../../src/bucket/put-options";
import { UNKNOWN_TAG } from "./arguments";
import { Mismatch, type Write } from "./native";
import { described, hasWritten, isSame, type Observation, observe } from "./observe";
import type { NamedPartSpec } from "./spec";

/** A part on its way. */
interface Sending {
  readonly number: number;
  readonly bytes: Uint8Array;
}

interface State {
  /** In order. The last one of a number counts. */
  readonly sent: readonly Sending[];
  readonly isOpen: boolean;
}

/** A part of a completion; null: one that was never sent. */
interface Named {
  readonly number: number;
  readonly sending: Sending | null;
}

const MOST_STATES = 8;
const GONE: State = { sent: [], isOpen: false };

export class UploadTwin {
  readonly key: string;
  readonly uploadId: string;
  readonly #native: R2Bucket;
  readonly #options: R2MultipartOptions;
  /** What our bucket calls the parts that it has taken. */
  readonly #etags = new Map<Sending, string>();
  #states: readonly State[] = [{ sent: [], isOpen: true }];

  constructor(native: R2Bucket, key: string, uploadId: string, options: R2MultipartOptions) {
    this.#native = native;
    this.key = key;
    this.uploadId = uploadId;
    this.#options = options;
  }

  /** There are too many states to be tried. */
  get isLost(): boolean {
    return this.#states.length > MOST_STATES;
  }

  /** Compares what the sending of a part has told. */
  async part(sending: Sending, { told, etag }: ToldOfPart): Promise<void> {
    const send = (state: State): State => (state.isOpen ? { ...state, sent: [...state.sent, sending] } : state);
    await this.#advance(told, send, (state) =>
      // What was sent before is no matter.
      this.#at({ ...state, sent: [] }, scratch(this.key), async (upload) => {
        const { partNumber } = await upload.uploadPart(sending.number, sending.bytes);
        return { partNumber };
      }),
    );
    if (etag !== null) this.#etags.set(sending, etag);
  }

  /** Compares what an abort has told. */
  async abort(told: Observation): Promise<void> {
    await this.#advance(told, closed, (state) =>
      this.#at({ ...state, sent: [] }, scratch(this.key), async (upload) => {
        await upload.abort();
        return "aborted";
      }),
    );
  }

  named(parts: readonly NamedPartSpec[]): readonly Named[] {
    const [state] = this.#states;
    return parts.map(({ number, which }) => {
      const known = (state?.sent ?? []).filter((sending) => sending.number === number && this.#etags.has(sending));
      return { number, sending: (which === "unknown" ? undefined : known.at(which === "last" ? -1 : -2)) ?? null };
    });
  }

  /** What our bucket is to be given for the parts. */
  ours(named: readonly Named[]): R2UploadedPart[] {
    return named.map(({ number, sending }) => ({
      partNumber: number,
      etag: (sending === null ? undefined : this.#etags.get(sending)) ?? UNKNOWN_TAG,
    }));
  }

  /** Compares what a completion has told. Returns the same, as a write of the key. */
  async complete(named: readonly Named[], told: Observation): Promise<Write> {
    await this.#advance(
      told,
      (state) => state,
      // With one state only, the comparison of the key's own write says as much.
      (state) => (this.#states.length === 1 ? Promise.resolve(told) : this.#completed(state, named, scratch(this.key))),
    );
    const state = this.#states.find(({ isOpen }) => isOpen) ?? GONE;
    if (hasWritten(told)) this.#states = [closed(state)];
    if (told.kind === "refused" && told.isUnknown) {
      this.#states = distinct([...this.#states, ...this.#states.map(closed)]);
    }
    return {
      ask: (at) => this.#completed(state, named, at),
      make: async (at) => {
        await this.#completed(state, named, at);
      },
      etag: await etagOf(named),
    };
  }

  #completed(state: State, named: readonly Named[], at: string): Promise<Observation> {
    return this.#at(state, at, async (upload, etags) =>
      described(
        await upload.complete(
          named.map(({ number, sending }) => ({
            partNumber: number,
            etag: (sending === null ? undefined : etags.get(sending)) ?? UNKNOWN_TAG,
          })),
        ),
        at,
      ),
    );
  }

  /** Leaves the states that explain what was told, as they are thereafter. */
  async #advance(
    told: Observation,
    next: (state: State) => State,
    ask: (state: State) => Promise<Observation>,
  ): Promise<void> {
    if (told.kind === "refused") {
      if (told.isUnknown) this.#states = distinct([...this.#states, ...this.#states.map(next)]);
      return;
    }
    const left: State[] = [];
    const natives: Observation[] = [];
    for (const state of this.#states) {
      const native = await ask(state);
      natives.push(native);
      if (isSame(native, told)) left.push(told.kind === "answered" ? next(state) : state);
    }
    if (left.length === 0) throw new Mismatch(`an upload of ${this.key}`, told, natives);
    this.#states = distinct(left);
  }

  /** A native upload of `at` that was sent the same is asked. */
  async #at(
    { sent, isOpen }: State,
    at: string,
    ask: (upload: R2MultipartUpload, etags: ReadonlyMap<Sending, string>) => Promise<unknown>,
  ): Promise<Observation> {
    const upload = await this.#native.createMultipartUpload(at, this.#options);
    const etags = new Map<Sending, string>();
    for (const sending of sent) etags.set(sending, (await upload.uploadPart(sending.number, sending.bytes)).etag);
    if (!isOpen) await upload.abort();
    const answer = await observe(() => ask(upload, etags));
    await upload.abort();
    return answer;
  }
}

export interface ToldOfPart {
  readonly told: Observation;
  /** What our bucket calls the part, if it has taken it. */
  readonly etag: string | null;
}

function closed(state: State): State {
  return { ...state, isOpen: false };
}

function distinct(states: readonly State[]): State[] {
  const isEqual = (a: State, b: State) =>
    a.isOpen === b.isOpen && a.sent.length === b.sent.length && a.sent.every((sending, n) => sending === b.sent[n]);
  return states.filter((state, n) => states.findIndex((other) => isEqual(state, other)) === n);
}

/** A name outside the service's keys. */
function scratch(key: string): string {
  return `scratch/${key}`;
}

/** The MD5 of the parts' MD5s, and how many there are. */
async function etagOf(named: readonly Named[]): Promise<string> {
  const parts = named.flatMap(({ sending }) => (sending === null ? [] : [sending])).sort((a, b) => a.number - b.number);
  const digests = await Promise.all(parts.map(({ bytes }) => crypto.subtle.digest("MD5", bytes)));
  const digest = await crypto.subtle.digest("MD5", await new Blob(digests).arrayBuffer());
  return `${toHex(digest)}-${parts.length}`;
}
