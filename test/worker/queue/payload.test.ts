import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { chunksOf } from "../../../durable-objects/queue/payload";
import { CHUNK_BYTES } from "../../../durable-objects/queue/payload-store";

/** Bytes that tell their own place, with a period that divides no chunk. */
function bytes(size: number): Uint8Array {
  const data = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) data[i] = (i % 251) ^ (i >>> 16);
  return data;
}

/** `bytes`: as streams come through an object call. `plain`: of whatever chunks their maker gives. */
type Kind = "bytes" | "plain";
const KINDS: readonly Kind[] = ["bytes", "plain"];

type Controller = Pick<ReadableByteStreamController, "enqueue" | "close" | "error"> & {
  readonly byobRequest?: ReadableStreamBYOBRequest | null;
};

function opened(kind: Kind, pull: (controller: Controller) => void, cancel = () => {}): ReadableStream<Uint8Array> {
  const type = kind === "plain" ? undefined : kind;
  return new ReadableStream<Uint8Array>({ type, pull, cancel } as UnderlyingSource<Uint8Array>);
}

function inPieces(
  data: Uint8Array,
  sizes: readonly number[],
  kind: Kind,
  onCancel = () => {},
): ReadableStream<Uint8Array> {
  let at = 0;
  let n = 0;
  const pull = (controller: Controller) => {
    if (at >= data.byteLength) {
      controller.close();
      // A reader that brought its own buffer waits for an answer to it.
      controller.byobRequest?.respond(0);
      return;
    }
    const size = sizes[n % sizes.length] ?? 1;
    n += 1;
    controller.enqueue(data.slice(at, at + size));
    at += size;
  };
  return opened(kind, pull, onCancel);
}

async function chunked(payload: Uint8Array | ReadableStream<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(payload)) chunks.push(chunk.slice());
  return chunks;
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}

describe("a payload is cut into chunks", () => {
  const CASES = [
    { size: 0, lengths: [] },
    { size: 1, lengths: [1] },
    { size: CHUNK_BYTES - 1, lengths: [CHUNK_BYTES - 1] },
    { size: CHUNK_BYTES, lengths: [CHUNK_BYTES] },
    { size: CHUNK_BYTES + 1, lengths: [CHUNK_BYTES, 1] },
    { size: 2 * CHUNK_BYTES, lengths: [CHUNK_BYTES, CHUNK_BYTES] },
    { size: 2 * CHUNK_BYTES + 77, lengths: [CHUNK_BYTES, CHUNK_BYTES, 77] },
  ];

  test.each(CASES)("a buffer of $size bytes", async ({ size, lengths }) => {
    const data = bytes(size);
    const chunks = await chunked(data);
    expect(chunks.map((chunk) => chunk.byteLength)).toEqual(lengths);
    expect(same(joined(chunks), data)).toBe(true);
  });

  describe.each(KINDS)("of a %s stream", (kind) => {
    test.each(CASES)("of $size bytes, whatever its pieces", async ({ size, lengths }) => {
      const data = bytes(size);
      for (const sizes of [[65_536], [4_093, 1, 100_003], [CHUNK_BYTES + 5], [3 * CHUNK_BYTES]]) {
        const chunks = await chunked(inPieces(data, sizes, kind));
        expect(chunks.map((chunk) => chunk.byteLength)).toEqual(lengths);
        expect(same(joined(chunks), data)).toBe(true);
      }
    });

    it("in any pieces, empty ones among them where the stream allows it", async () => {
      const data = bytes(CHUNK_BYTES + 4_321);
      const min = kind === "bytes" ? 1 : 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min, max: 2_000_000 }), { minLength: 1, maxLength: 20 }),
          async (sizes) => {
            const chunks = await chunked(inPieces(data, [...sizes, 70_001], kind));
            expect(chunks.map((chunk) => chunk.byteLength)).toEqual([CHUNK_BYTES, 4_321]);
            expect(same(joined(chunks), data)).toBe(true);
          },
        ),
        { numRuns: 30 },
      );
    });

    it("that breaks breaks with the source's own error", async () => {
      const broken = new Error("the client went away");
      const source = opened(kind, (controller) => {
        controller.enqueue(new Uint8Array(700_000));
        controller.error(broken);
      });
      await expect(chunked(source)).rejects.toBe(broken);
    });

    it("that nobody takes any more is cancelled", async () => {
      let isCancelled = false;
      const chunks = chunksOf(
        inPieces(bytes(3 * CHUNK_BYTES), [CHUNK_BYTES], kind, () => {
          isCancelled = true;
        }),
      );
      await chunks.next();
      await chunks.return(undefined);
      expect(isCancelled).toBe(true);
    });
  });
});
