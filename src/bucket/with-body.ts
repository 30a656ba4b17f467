import { blobOf } from "./made-object";

const BODY_MEMBERS: ReadonlySet<PropertyKey> = new Set(["body", "bodyUsed", "arrayBuffer", "bytes", "text", "json"]);

/** R2's own object with another body, which `open` gives when one is first asked for. */
export function withBody(object: R2ObjectBody, open: () => ReadableStream): R2ObjectBody {
  let opened: Response | null = null;
  const response = () => {
    opened ??= new Response(open());
    return opened;
  };
  return new Proxy(object, {
    get(target, member) {
      if (member === "bodyUsed" && opened === null) return false;
      if (member === "blob") return async () => blobOf(await response().arrayBuffer(), object.httpMetadata);
      const owner = BODY_MEMBERS.has(member) ? response() : target;
      const value: unknown = Reflect.get(owner, member, owner);
      return typeof value === "function" ? value.bind(owner) : value;
    },
  });
}
