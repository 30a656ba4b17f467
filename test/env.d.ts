import type { WorkerEnv } from "../src/shared/env";

/** Types for `import { env, exports } from "cloudflare:workers"` in the Worker's tests. */
declare global {
  namespace Cloudflare {
    interface Env extends WorkerEnv {}
    interface GlobalProps {
      mainModule: typeof import("../src/index");
    }
  }
}
