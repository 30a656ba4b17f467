/** Which writes the drill sends. Pure: (random, files) → scripts, so that a seed repeats a drill. */
import type { Upload } from "./client.ts";
import type { SourceFile } from "./corpus.ts";
import type { Random } from "./random.ts";

export type Step = { readonly op: "put"; readonly upload: Upload } | { readonly op: "delete" };

/** Writes to one key, sent one after the other. Scripts of a list never share a key, so they may run side by side. */
export interface Script {
  readonly key: string;
  readonly steps: readonly Step[];
}

/** Makes uploads that are all different, if only in their metadata. */
export class Uploads {
  readonly #random: Random;
  readonly #files: readonly SourceFile[];
  #version = 0;

  constructor(random: Random, files: readonly SourceFile[]) {
    this.#random = random;
    this.#files = files;
  }

  original(file: SourceFile): Upload {
    return { body: file.body, contentType: file.contentType, customMetadata: this.#metadata() };
  }

  /** A changed object: longer by a line, or another file's content, or the same bytes with other metadata alone. */
  changed(file: SourceFile): Upload {
    const original = this.original(file);
    const kind = this.#random.below(3);
    if (kind === 0) return original;
    if (kind === 1) {
      const other = this.#files[this.#random.below(this.#files.length)] ?? file;
      return { ...original, body: other.body, contentType: other.contentType };
    }
    const line = new TextEncoder().encode(`\n// change ${this.#version}\n`);
    const body = new Uint8Array(file.body.byteLength + line.byteLength);
    body.set(file.body);
    body.set(line, file.body.byteLength);
    return { ...original, body };
  }

  #metadata(): Record<string, string> {
    this.#version += 1;
    return { version: String(this.#version), origin: "drill" };
  }
}

/** Every file once. */
export function firstUploads(uploads: Uploads, files: readonly SourceFile[]): Script[] {
  return files.map((file) => ({ key: file.key, steps: [{ op: "put", upload: uploads.original(file) }] }));
}

/** The histories that a key can go through in an outage. `new` is a key that was not there before. */
const SHAPES = [
  { isNew: false, ops: ["put"] },
  { isNew: false, ops: ["put", "put"] },
  { isNew: false, ops: ["delete"] },
  { isNew: false, ops: ["delete", "put"] },
  { isNew: false, ops: ["put", "delete"] },
  { isNew: false, ops: ["put", "put", "delete"] },
  { isNew: true, ops: ["put"] },
  { isNew: true, ops: ["put", "put"] },
  { isNew: true, ops: ["put", "delete"] },
] as const;

/** New, overwriting and deleting writes, in every shape, to `files` and to new keys named after `stage`. */
export function mixedWrites(uploads: Uploads, files: readonly SourceFile[], stage: string): Script[] {
  return files.map((file, index) => {
    const shape = SHAPES[index % SHAPES.length] ?? SHAPES[0];
    return {
      key: shape.isNew ? `${stage}/${file.key}` : file.key,
      steps: shape.ops.map((op) => (op === "put" ? { op, upload: uploads.changed(file) } : { op })),
    };
  });
}

/** One put for each file, to its own key or below `folder`: so many operations wait. */
export function plainWrites(uploads: Uploads, files: readonly SourceFile[], folder = ""): Script[] {
  return files.map((file) => ({ key: folder + file.key, steps: [{ op: "put", upload: uploads.changed(file) }] }));
}
