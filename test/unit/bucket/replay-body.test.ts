import { afterEach, describe, expect, test } from "vitest";
import { REPLAY_LIMIT_BYTES, ReplayBody, replayBudgetLeft } from "../../../src/bucket/replay-body";

const MIB = 1024 * 1024;
const bytes = (...values: number[]) => Uint8Array.from(values);

/** A stream of these chunks; an Error breaks it there. */
function streamOf(chunks: readonly unknown[], type?: "bytes"): ReadableStream & { cancelled: boolean } {
  let next = 0;
  const state = { cancelled: false };
  const source = {
    type,
    pull(controller: ReadableStreamDefaultController) {
      const chunk = chunks[next++];
      if (chunk instanceof Error) controller.error(chunk);
      else if (chunk === undefined) controller.close();
      else controller.enqueue(chunk);
    },
    cancel() {
      state.cancelled = true;
    },
  } as unknown as UnderlyingSource;
  return Object.defineProperty(new ReadableStream(source, { highWaterMark: 0 }), "cancelled", {
    get: () => state.cancelled,
  }) as ReadableStream & { cancelled: boolean };
}

const made: ReplayBody[] = [];
afterEach(() => {
  for (const body of made.splice(0)) body.release();
});

function bodyOf(source: ReadableStream, size: number): ReplayBody {
  const body = new ReplayBody(source, size);
  made.push(body);
  return body;
}

async function readThrough(body: ReplayBody): Promise<void> {
  for (let index = 0; (await body.chunk(index)) !== null; index += 1);
}

async function chunksOf(body: ReplayBody): Promise<number[][]> {
  const chunks: number[][] = [];
  for (let index = 0; ; index += 1) {
    const chunk = await body.chunk(index);
    if (chunk === null) return chunks;
    chunks.push([...chunk]);
  }
}

describe("a stream that can be sent again", () => {
  test.each([
    { source: "of bytes", chunks: [bytes(1, 2), bytes(3)] },
    { source: "of buffers", chunks: [bytes(1, 2).buffer, bytes(3).buffer] },
    { source: "of text", chunks: ["\u0001\u0002", "\u0003"] },
  ])("$source gives the same bytes twice", async ({ chunks }) => {
    const body = bodyOf(streamOf(chunks), 3);
    expect(await chunksOf(body)).toEqual([[1, 2], [3]]);
    expect(await chunksOf(body)).toEqual([[1, 2], [3]]);
    expect(body.canReplay).toBe(true);
  });

  test("gives the kept part and then the rest", async () => {
    const body = bodyOf(streamOf([bytes(1), bytes(2), bytes(3)]), 3);
    expect([await body.chunk(0), await body.chunk(1)]).toEqual([bytes(1), bytes(2)]);
    expect(await chunksOf(body)).toEqual([[1], [2], [3]]);
  });

  test("tells what is there without waiting for the source", async () => {
    const body = bodyOf(streamOf([bytes(1)]), 1);
    expect(body.has(0)).toBe(false);
    await body.chunk(0);
    expect([body.has(0), body.has(1)]).toEqual([true, false]);
    await body.chunk(1);
    expect(body.has(1)).toBe(true);
  });

  test("two receivers that wait for one chunk both get it", async () => {
    const body = bodyOf(streamOf([bytes(1), bytes(2)]), 2);
    expect(await Promise.all([body.chunk(0), body.chunk(0)])).toEqual([bytes(1), bytes(1)]);
    expect(await Promise.all([chunksOf(body), chunksOf(body)])).toEqual([
      [[1], [2]],
      [[1], [2]],
    ]);
  });

  test("collects into one piece of memory", async () => {
    expect(await bodyOf(streamOf([bytes(1, 2), bytes(3)]), 3).collect()).toEqual(bytes(1, 2, 3));
    expect(await bodyOf(streamOf([]), 0).collect()).toEqual(bytes());
  });

  test("takes a byte stream without keeping its read buffer alive for a few bytes", async () => {
    const body = bodyOf(streamOf([bytes(1, 2)], "bytes"), 2);
    await body.chunk(0);
    expect((await body.chunk(0))?.buffer.byteLength).toBe(2);
  });
});

describe("a source that is at fault", () => {
  test("its own error comes out, the same object, at every attempt", async () => {
    const own = new Error("the client went away");
    const body = bodyOf(streamOf([bytes(1), own]), 2);
    expect(await body.chunk(0)).toEqual(bytes(1));
    await expect(body.chunk(1)).rejects.toBe(own);
    await expect(body.chunk(0)).rejects.toBe(own);
    expect(body.broken?.error).toBe(own);
  });

  test.each([
    { fault: "fewer bytes than announced", chunks: [bytes(1)], error: "did not see all expected bytes" },
    { fault: "more bytes than announced", chunks: [bytes(1, 2, 3)], error: "write too many bytes" },
    { fault: "something that is no bytes", chunks: [7], error: "did not return bytes" },
  ])("$fault is a TypeError of the caller's", async ({ chunks, error }) => {
    const body = bodyOf(streamOf(chunks), 2);
    await expect(body.collect()).rejects.toThrow(error);
    expect(body.broken?.error).toBeInstanceOf(TypeError);
  });
});

describe("the bounds of what is kept", () => {
  test("a stream that outgrows 16 MiB goes on, but only once", async () => {
    const before = replayBudgetLeft(Date.now());
    const chunks = Array.from({ length: 17 }, () => new Uint8Array(MIB));
    const body = bodyOf(streamOf(chunks), 17 * MIB);
    for (let index = 0; index < 16; index += 1) await body.chunk(index);
    expect(body.canReplay).toBe(true);
    expect(replayBudgetLeft(Date.now())).toBe(before - REPLAY_LIMIT_BYTES);
    expect((await body.chunk(16))?.byteLength).toBe(MIB);
    expect(await body.chunk(17)).toBeNull();
    expect(body.canReplay).toBe(false);
    await expect(body.chunk(0)).rejects.toThrow("cannot be sent again");
    expect(replayBudgetLeft(Date.now())).toBe(before);
  });

  test("a byte stream that has outgrown 16 MiB comes whole, although it is read into one buffer from then on", async () => {
    const pieces = Array.from({ length: 272 }, (_, n) => new Uint8Array(64 * 1024).fill(n % 251));
    const body = bodyOf(streamOf(pieces, "bytes"), 17 * MIB);
    for (let index = 0; index < pieces.length; index += 1) {
      const chunk = await body.chunk(index);
      expect(chunk?.byteLength).toBe(64 * 1024);
      expect(chunk?.every((byte) => byte === index % 251)).toBe(true);
    }
    expect(body.canReplay).toBe(false);
  });

  test("five streams share 64 MiB: the fifth is not kept, and a release makes room", async () => {
    const keep = async () => {
      const body = bodyOf(streamOf(Array.from({ length: 16 }, () => new Uint8Array(MIB))), 16 * MIB);
      await readThrough(body);
      return body;
    };
    const bodies = [await keep(), await keep(), await keep(), await keep()];
    expect(replayBudgetLeft(Date.now())).toBe(0);
    expect((await keep()).canReplay).toBe(false);
    bodies[0]?.release();
    const next = await keep();
    expect(next.canReplay).toBe(true);
    for (const body of [...bodies, next]) body.release();
    expect(replayBudgetLeft(Date.now())).toBe(64 * MIB);
  });

  test("a stream whose request was cancelled, and so is never released, loses its claim after 5 minutes", async () => {
    const body = bodyOf(streamOf([new Uint8Array(MIB)]), MIB);
    await readThrough(body);
    expect(replayBudgetLeft(Date.now() + 299_000)).toBe(63 * MIB);
    expect(replayBudgetLeft(Date.now() + 301_000)).toBe(64 * MIB);
  });

  test("a release tells the source that nobody reads on, and keeps a finished one in peace", async () => {
    const open = streamOf([bytes(1), bytes(2)]);
    const body = bodyOf(open, 2);
    await body.chunk(0);
    body.release();
    expect(open.cancelled).toBe(true);

    const finished = streamOf([bytes(1)]);
    const whole = bodyOf(finished, 1);
    await whole.collect();
    whole.release();
    expect(finished.cancelled).toBe(false);
  });
});
