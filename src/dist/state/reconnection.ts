/**
 * Reconnection after the coordinator had no connection to the bus. Members may have lost theirs, too, and may get it back earlier
 * or later: none counts as lost for that. Pure functions.
 *
 * @module
 */

import type { Participant } from "./participants.ts";
import type { RunState } from "./run_state.ts";

/** The clocks of a participant that matter here. */
type Clocks = Pick<Participant, "heardAt" | "goneSince" | "returnedAt">;

/** The participant after a heartbeat. Its clocks restart with the first one after the coordinator had no connection. */
export function heardOf<P extends Clocks>(
  { cutOffAt = -Infinity }: Pick<RunState, "cutOffAt">,
  each: P,
  now: number,
): P {
  const returned = each.heardAt <= cutOffAt ? { goneSince: undefined, returnedAt: now } : {};
  return { ...each, heardAt: now, ...returned };
}

/** The state after messages of which only the times were noted. A later message of a participant may be known already. */
export function withArrivals(state: RunState, at: ReadonlyMap<string, number>): RunState {
  if (at.size === 0) return state;
  const heard = <P extends Clocks>(all: ReadonlyMap<string, P>) =>
    new Map([...all].map(([name, each]) => {
      const heardAt = at.get(name) ?? -Infinity;
      return [name, heardAt > each.heardAt ? heardOf(state, each, heardAt) : each];
    }));
  return { ...state, members: heard(state.members), candidates: heard(state.candidates) };
}

/** Whether a participant has been silent since the coordinator had no connection, and may still have none itself. */
export function isAwaitedBack(
  { cutOffAt = -Infinity, plan }: Pick<RunState, "cutOffAt" | "plan">,
  { heardAt }: Pick<Clocks, "heardAt">,
  now: number,
): boolean {
  return heardAt <= cutOffAt && now - cutOffAt < plan.silenceSeconds;
}
