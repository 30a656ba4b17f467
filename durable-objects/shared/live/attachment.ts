/** What a hibernating socket remembers of its subscriber. */
import * as z from "zod";

const schema = z.object({
  /** Decided when the socket is accepted, for good. */
  view: z.enum(["public", "token"]),
  acks: z.boolean(),
  /** The last event that it was sent, while it is being sent what it missed; null: it gets events as they come. */
  replayedTo: z.int().nullable(),
});
export type Attachment = z.output<typeof schema>;

/** `null`: it is none of ours, or another release's. */
export function readAttachment(socket: WebSocket): Attachment | null {
  const { data } = schema.safeParse(socket.deserializeAttachment());
  return data ?? null;
}
