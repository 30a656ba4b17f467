import type { ShardUsage } from "../../../src/shared/protocol";

export const IDLE_USAGE: ShardUsage = {
  pending: 0,
  processing: 0,
  failed: 0,
  bytes: 0,
  oldestAt: null,
  completed: 0,
  cancelled: 0,
  superseded: 0,
};
