import type { CallStore } from "./call-store";
import type { Room } from "./capacity";
import type { MetaStore } from "./meta-store";
import type { PayloadCipher } from "./payload-cipher";
import type { PayloadStore } from "./payload-store";
import type { Pins } from "./pins";
import type { QueueStore } from "./queue-store";
import type { ServiceLink } from "./service-link";
import type { Steps } from "./steps";
import type { UploadStore } from "./upload-store";

/** What the parts of one QueueDO share. */
export interface Shard {
  readonly service: string;
  readonly store: QueueStore;
  readonly calls: CallStore;
  readonly payloads: PayloadStore;
  readonly uploads: UploadStore;
  readonly meta: MetaStore;
  readonly link: ServiceLink;
  readonly cipher: PayloadCipher;
  readonly pins: Pins;
  readonly room: Room;
  /** The service's bucket, below its injected faults. */
  readonly bucket: R2Bucket;
  readonly steps: Steps;
  /** The rows have changed: derive the alarm anew, or tell the drain that is running. */
  changed(): void;
}

/** R2's clock minus ours, as the probes measured it. */
export function clockOffset(shard: Shard): number {
  return shard.link.terms?.clockOffsetMs ?? 0;
}
