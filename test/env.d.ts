import type { WorkerEnv } from "../src/shared/env";

/** Types for `import { env, exports } from "cloudflare:workers"` in the Worker's tests. */
declare global {
  namespace Cloudflare {
    interface Env extends WorkerEnv {
      /** The native bucket of the twin test. */
      R2_TWIN: R2Bucket;
    }
    interface GlobalProps {
      mainModule: typeof import("../src/index");
    }
  }
}
