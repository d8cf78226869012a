/**
 * Keys that a configuration got later, and that changed what the configurations without them meant.
 *
 * @module
 */

import { isRecord } from "../records.ts";

/** Adds to the configuration that an earlier version wrote, complete, what held then. Gives it back. */
export function addMissing(config: unknown): unknown {
  const optimizer = isRecord(config) ? config.optimizer : undefined;
  const schedule = isRecord(optimizer) ? optimizer.schedule : undefined;
  // flashmob 0.1 knew no floor: its schedules came down to 0.
  if (isRecord(schedule) && schedule.kind !== "constant") schedule.floor ??= 0;
  return config;
}
