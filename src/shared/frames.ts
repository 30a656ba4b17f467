/** What goes over a status WebSocket, both ways. */
import type { EventRecord, QueueRecord, ServiceRecord } from "./records";

/** The state beside the events: of one service, or of all. */
export interface LiveState {
  readonly services: readonly ServiceRecord[];
  readonly queue: QueueRecord;
}

/** The state now, and the number after which events follow. */
type Placed<T> = { readonly type: T; readonly epoch: string; readonly seq: number } & LiveState;

/**
 * `snapshot` comes first; `reset` in its place when the `since` that was asked for cannot be continued. `state`: changes
 * that are no events, a few a second at most.
 */
export type StatusFrame =
  | Placed<"snapshot">
  | Placed<"reset">
  | { readonly type: "event"; readonly epoch: string; readonly seq: number; readonly event: EventRecord }
  | ({ readonly type: "state" } & LiveState)
  | { readonly type: "heartbeat" };

/** What a client may send, beside the text `ping`: everything up to event `seq` has been received. */
export interface AckFrame {
  readonly type: "ack";
  readonly seq: number;
}

/** A server that is silent for longer than some of these is gone. */
export const HEARTBEAT_MS = 30_000;
