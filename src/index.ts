/** The failover Worker: the objects, and what answers HTTP and the cron trigger. */
import { pokeServices } from "./cron";
import { handle } from "./http/router";
import type { WorkerEnv } from "./shared/env";

export { QueueDO } from "../durable-objects/queue/queue-do";
export { ServiceDO } from "../durable-objects/service/service-do";
export { SystemDO } from "../durable-objects/system/system-do";

export default {
  fetch: (request, env) => handle(request, env),
  scheduled: (_, env) => pokeServices(env),
} satisfies ExportedHandler<WorkerEnv>;
