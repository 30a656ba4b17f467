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

const BODY_MEMBERS: ReadonlySet<PropertyKey> = new Set([
  "body",
  "bodyUsed",
  "arrayBuffer",
  "bytes",
  "text",
  "json",
  "blob",
]);

/** What a `get` answered, its body breaking midway. An answer without a body stays as it is. */
export function truncated(reply: R2Object | R2ObjectBody | null): R2Object | R2ObjectBody | null {
  if (reply === null || !("body" in reply)) return reply;
  const response = new Response(brokenBody(reply));
  return new Proxy(reply, {
    get(object, member) {
      const owner = BODY_MEMBERS.has(member) ? response : object;
      const value: unknown = Reflect.get(owner, member, owner);
      return typeof value === "function" ? value.bind(owner) : value;
    },
  });
}
