/**
 * Who comes back after the coordinator had no connection to the bus. Others may have had none either, and have it again earlier or
 * later: nobody is lost for that. Pure functions.
 *
 * @module
 */

import type { Participant, RunState } from "./run_state.ts";

/** The clocks of who takes part, as far as they are for this. */
type Clocks = Pick<Participant, "heardAt" | "goneSince" | "returnedAt">;

/** Who is heard of now. After the coordinator had no connection, clocks begin anew for each when it is back. */
export function heardOf<P extends Clocks>(
  { cutOffAt = -Infinity }: Pick<RunState, "cutOffAt">,
  each: P,
  now: number,
): P {
  const returned = each.heardAt <= cutOffAt ? { goneSince: undefined, returnedAt: now } : {};
  return { ...each, heardAt: now, ...returned };
}

/** Whether somebody was not heard of since the coordinator had no connection, and may have none still. */
export function isAwaitedBack(
  { cutOffAt = -Infinity, plan }: Pick<RunState, "cutOffAt" | "plan">,
  { heardAt }: Pick<Clocks, "heardAt">,
  now: number,
): boolean {
  return heardAt <= cutOffAt && now - cutOffAt < plan.silenceSeconds;
}
