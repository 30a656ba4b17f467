import { withBody } from "./with-body";

/** A body that breaks with an error after half of its bytes. */
function brokenBody(object: R2ObjectBody): ReadableStream<Uint8Array> {
  const range = object.range;
  const length = range !== undefined && "length" in range && range.length !== undefined ? range.length : object.size;
  let left = Math.floor(length / 2);
  const reader = (object.body as ReadableStream<Uint8Array>).getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value } = left > 0 ? await reader.read() : { value: undefined };
      if (value !== undefined) {
        controller.enqueue(value.subarray(0, left));
        left -= Math.min(left, value.byteLength);
        return;
      }
      await reader.cancel();
      controller.error(new Error("Network connection lost."));
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** What a `get` answered, its body breaking midway. An answer without a body stays as it is. */
export function truncated(reply: R2Object | R2ObjectBody | null): R2Object | R2ObjectBody | null {
  if (reply === null || !("body" in reply)) return reply;
  return withBody(reply, () => brokenBody(reply));
}
