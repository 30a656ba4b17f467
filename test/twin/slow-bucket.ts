/** A bucket whose replies to reads are late: what they say is old when it arrives. */

const READS: ReadonlySet<PropertyKey> = new Set(["get", "head", "list"]);

/** `lateMs`: by how much, for a key or a prefix. */
export function withLateReplies(bucket: R2Bucket, lateMs: (name: string) => number): R2Bucket {
  return new Proxy(bucket, {
    get(target, method) {
      const member: unknown = Reflect.get(target, method);
      if (typeof member !== "function") return member;
      if (!READS.has(method)) return member.bind(target);
      return async (...args: unknown[]) => {
        const reply: unknown = await Reflect.apply(member, target, args);
        const late = lateMs(nameOf(args[0]));
        if (late > 0) await new Promise((resolve) => setTimeout(resolve, late));
        return reply;
      };
    },
  });
}

function nameOf(argument: unknown): string {
  if (typeof argument === "string") return argument;
  return (argument as R2ListOptions | undefined)?.prefix ?? "";
}
