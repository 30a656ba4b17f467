import { serviceStub } from "../bucket/stubs";
import { type EventType, recordedEvent } from "../shared/records";
import { actorOf, type Call } from "./call";
import { errorFields, log } from "./log";
import { ask } from "./objects";

/**
 * Reading what others have stored leaves a trace. When R2 and the objects are down together the bytes still count for
 * more, so that one that cannot be recorded is only logged.
 */
export async function recordAction(
  call: Call,
  service: string,
  type: EventType,
  data: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { actor, requestId } = actorOf(call);
  const event = {
    id: `${type}:${requestId}:${String(data.operation_id ?? "")}`,
    ...recordedEvent(type, "INFO", { actor, request_id: requestId, ...data }, Date.now()),
  };
  await ask("The service's monitor", () => serviceStub(call.env, service).recordEvent(event)).catch((error: unknown) =>
    log("warn", "action_not_recorded", { type, request_id: requestId, ...data, ...errorFields(error) }),
  );
}
