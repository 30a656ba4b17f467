/** A frame as text, made once for each view that somebody has. Pure. */
import type { LiveState, StatusFrame } from "../../../src/shared/frames";
import { publicEvent, publicService } from "../../../src/shared/public-view";
import type { SubscriberView } from "../../../src/shared/subscription";

/** The text of the frame for a view. */
export type EncodedFrame = (view: SubscriberView) => string;

export function encode(frame: StatusFrame): EncodedFrame {
  const texts: Partial<Record<SubscriberView, string>> = {};
  return (view) => {
    texts[view] ??= JSON.stringify(view === "token" ? frame : publicFrame(frame));
    return texts[view];
  };
}

function publicFrame(frame: StatusFrame): StatusFrame {
  switch (frame.type) {
    case "event":
      return { ...frame, event: publicEvent(frame.event) };
    case "snapshot":
    case "reset":
    case "state":
      return { ...frame, services: frame.services.map(publicService) };
    case "heartbeat":
      return frame;
  }
}

/** What of a state is worth a frame of its own: not times that pass by themselves, nor metrics that never rest. */
export function fingerprint({ services, queue }: LiveState): string {
  const { total_size, pending, processing, failed, bytes } = queue;
  const of = services.map(({ service_name, status, circuits, degradation_reason, read_only }) => [
    service_name,
    status,
    [circuits.read, circuits.write].map(({ state, admit, open_until }) => [state, admit.toFixed(2), open_until]),
    degradation_reason,
    read_only,
  ]);
  return JSON.stringify([of, total_size, pending, processing, failed, bytes]);
}

/** Whether the state changes by the clock alone: an admission ratio that climbs. */
export function isMoving({ services }: LiveState): boolean {
  return services.some(({ circuits }) => [circuits.read, circuits.write].some(({ admit }) => admit > 0 && admit < 1));
}
