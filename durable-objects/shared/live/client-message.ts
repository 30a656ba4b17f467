/** What subscribers send. Pure. */
import * as z from "zod";

const MAX_LENGTH = 256;
const ackSchema = z.object({ type: z.literal("ack"), seq: z.int().min(0) });

export type ClientMessage =
  | { readonly kind: "ping" }
  | { readonly kind: "ack"; readonly seq: number }
  | { readonly kind: "refused"; readonly code: 1003 | 1008 | 1009; readonly reason: string };

export function readMessage(message: string | ArrayBuffer): ClientMessage {
  if (typeof message !== "string") return refused(1003, "only text is understood");
  if (message === "ping") return { kind: "ping" };
  if (message.length > MAX_LENGTH) return refused(1009, "the message is too long");
  const { data } = ackSchema.safeParse(parsed(message));
  return data === undefined ? refused(1008, 'send ping, or {"type":"ack","seq":<n>}') : { kind: "ack", seq: data.seq };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refused(code: 1003 | 1008 | 1009, reason: string): ClientMessage {
  return { kind: "refused", code, reason };
}
