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

function inPieces(data: Uint8Array, sizes: readonly number[], onCancel = () => {}): ReadableStream<Uint8Array> {
  let at = 0;
  let n = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= data.byteLength) return controller.close();
      const size = sizes[n % sizes.length] ?? 1;
      n += 1;
      controller.enqueue(data.slice(at, at + size));
      at += size;
    },
    cancel: onCancel,
  });
}

async function chunked(payload: Uint8Array | ReadableStream<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(payload)) chunks.push(chunk);
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

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

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

  test.each(CASES)("a stream of $size bytes, whatever its pieces", async ({ size, lengths }) => {
    const data = bytes(size);
    for (const sizes of [[65_536], [4_093, 1, 100_003], [CHUNK_BYTES + 5], [3 * CHUNK_BYTES]]) {
      const chunks = await chunked(inPieces(data, sizes));
      expect(chunks.map((chunk) => chunk.byteLength)).toEqual(lengths);
      expect(same(joined(chunks), data)).toBe(true);
    }
  });

  it("a stream in any pieces, empty ones among them", async () => {
    const data = bytes(CHUNK_BYTES + 4_321);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 2_000_000 }), { minLength: 1, maxLength: 20 }),
        async (sizes) => {
          const chunks = await chunked(inPieces(data, [...sizes, 70_001]));
          expect(chunks.map((chunk) => chunk.byteLength)).toEqual([CHUNK_BYTES, 4_321]);
          expect(same(joined(chunks), data)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("keeps each chunk as it was when later ones are cut", async () => {
    const data = bytes(3 * CHUNK_BYTES);
    const chunks = chunksOf(inPieces(data, [CHUNK_BYTES / 2]));
    const first = (await chunks.next()).value;
    await chunks.next();
    expect(first !== undefined && same(first, data.subarray(0, CHUNK_BYTES))).toBe(true);
  });
});

describe("a source", () => {
  it("that breaks breaks the chunks with its own error", async () => {
    const broken = new Error("the client went away");
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(700_000));
        controller.error(broken);
      },
    });
    await expect(chunked(source)).rejects.toBe(broken);
  });

  it("is cancelled when the receiver stops", async () => {
    let isCancelled = false;
    const chunks = chunksOf(
      inPieces(bytes(3 * CHUNK_BYTES), [CHUNK_BYTES], () => {
        isCancelled = true;
      }),
    );
    await chunks.next();
    await chunks.return(undefined);
    expect(isCancelled).toBe(true);
  });
});
