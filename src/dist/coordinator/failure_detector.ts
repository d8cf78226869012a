/**
 * When a worker or a reducer counts as lost: an adaptive timeout as failure detector (Chandra & Toueg, 1996). Timeouts are multiples
 * of the time that results recently took in such a stage, within a floor and a ceiling. A stage that was never seen (kernels may be
 * compiled first) has the ceiling. Pure functions.
 *
 * @module
 */

import { isAwaited } from "../state/orders.ts";
import { longestPace, paced, usualPace } from "../state/pace.ts";
import { isReducing } from "../steps/reducer_set.ts";
import { isAwaitedBack } from "../state/reconnection.ts";
import type { Member, Participant, Reducer } from "../state/participants.ts";
import type { RunState } from "../state/run_state.ts";
import { withMember } from "../state/transitions.ts";
import { GONE_SECONDS } from "../protocol/timeouts.ts";

/** Why a process is lost that does not listen any more. */
export const NOT_LISTENING = "its connection has ended, its process is probably dead";

/** A silent member is lost after this multiple of the usual time for a result. */
const SILENCE_FACTOR = 10;
/** A stalled member is lost after this multiple of a silent one's timeout, from the longest recent time; floor and ceiling rise, too. */
const STALL_FACTOR = 3;
const STALL_CEILING_FACTOR = 10;

/** The state after a member has delivered a result, which counts as progress and updates the pace. */
export function delivered(state: RunState, member: Member, now: number): RunState {
  const moved = withMember(state, { ...member, progressAt: now });
  return isAwaited(state, member) ? withPace(moved, now) : moved;
}

/**
 * The state with the pace of its stage, at the time of a result. A stage in which a member was lost would measure how long that took,
 * and one in which the coordinator received nothing, how long that lasted.
 */
export function withPace(state: RunState, now: number): RunState {
  const { stage, stageSince, generation, deafAt = -Infinity } = state;
  const isDisturbed = deafAt > stageSince || ("openedIn" in stage && stage.openedIn !== generation);
  return isDisturbed
    ? state
    : { ...state, pace: paced(state.pace, stage.kind, stageSince, now - stageSince) };
}

/**
 * Why a participant counts as lost, as text; undefined where it does not.
 *
 * @param blockedSince since when each member has kept the coordinator waiting for parts of a vector or acknowledgements
 */
export function reasonLost(
  state: RunState,
  participant: Participant,
  now: number,
  blockedSince?: ReadonlyMap<string, number>,
): string | undefined {
  const { name } = participant;
  if (isAwaitedBack(state, participant, now)) return undefined;
  const silent = reasonSilent(state, participant, now);
  if (silent) return `${silent}; ${lastSeen(participant)}`;
  const member = state.members.get(name);
  if (!member) return undefined;
  const stall = stallAllowed(state);
  if (now - stillSince(state, member, blockedSince) >= stall) {
    return `it has stalled for ${secondsText(stall)}; ${lastSeen(participant)}`;
  }
}

/** What a participant was doing, as text. */
export function lastSeen({ phase, step }: Pick<Participant, "phase" | "step">): string {
  return `it was last seen ${phase} after step ${step}`;
}

/** Why a silent participant counts as lost, as text; undefined where it does not. */
export function reasonSilent(
  state: RunState,
  each: Pick<Participant, "heardAt" | "goneSince">,
  now: number,
): string | undefined {
  if (isAwaitedBack(state, each, now)) return undefined;
  const { goneSince, heardAt } = each;
  if (goneSince !== undefined && now - goneSince >= Math.min(GONE_SECONDS, state.plan.patienceSeconds)) {
    return NOT_LISTENING;
  }
  const silence = silenceAllowed(state);
  if (now - heardAt >= silence) return `no heartbeat came from it for ${secondsText(silence)}`;
}

/**
 * Why a reducer that is alive and stalled counts as lost, as text; undefined where it does not. Either no member keeps it waiting,
 * or all members seem to: then rather their messages don't reach it.
 */
export function reasonStuck(state: RunState, reducer: Reducer, now: number): string | undefined {
  if (!isReducing(state, reducer.name) || isAwaitedBack(state, reducer, now)) return undefined;
  const { members, stageSince, deafAt = -Infinity } = state;
  const blocked = [...members.keys()].flatMap((name) => reducer.blockedSince.get(name) ?? []);
  const isBlockedByAll = blocked.length === members.size;
  const since = isBlockedByAll
    ? Math.max(...blocked)
    : blocked.length > 0
    ? Infinity
    : reducer.idleSince ?? Infinity;
  const stall = stallAllowed(state);
  if (now - Math.max(since, stageSince, deafAt, reducer.returnedAt ?? -Infinity) < stall) return undefined;
  return isBlockedByAll
    ? `no message from a member has reached it for ${secondsText(stall)}`
    : `it has not finished for ${secondsText(stall)} though no member keeps it waiting`;
}

/** Since when a member has kept the others waiting without progress; Infinity where it does not. */
function stillSince(state: RunState, member: Member, blockedSince?: ReadonlyMap<string, number>): number {
  const { stage, stageSince, deafAt = -Infinity } = state;
  const { returnedAt = -Infinity } = member;
  if (stage.kind === "reducing") {
    const all = [blockedSince, ...[...state.reducers.values()].map((reducer) => reducer.blockedSince)];
    return Math.max(Math.min(...all.map((each) => each?.get(member.name) ?? Infinity)), deafAt, returnedAt);
  }
  const isSaving = stage.kind === "saving" || stage.kind === "writing"; // it may take its time
  if (isSaving || !isAwaited(state, member)) return Infinity;
  return Math.max(member.progressAt, stageSince, returnedAt);
}

function silenceAllowed(state: RunState): number {
  const { patienceSeconds, silenceSeconds } = state.plan;
  return within(patienceSeconds, SILENCE_FACTOR * paceOf(state, usualPace), silenceSeconds);
}

function stallAllowed(state: RunState): number {
  const { patienceSeconds, silenceSeconds } = state.plan;
  const seconds = STALL_FACTOR * SILENCE_FACTOR * paceOf(state, longestPace);
  return within(STALL_FACTOR * patienceSeconds, seconds, STALL_CEILING_FACTOR * silenceSeconds);
}

/** The pace of this stage; an all-reduce that was not seen yet is assumed to take as long as the slowest of all stages. */
function paceOf({ stage, pace }: RunState, measure: typeof usualPace): number {
  const own = measure(pace, stage.kind);
  if (own !== undefined || stage.kind !== "reducing") return own ?? Infinity;
  const kinds = Object.keys(pace);
  return kinds.length === 0 ? Infinity : Math.max(...kinds.map((kind) => measure(pace, kind) ?? 0));
}

function within(floor: number, value: number, ceiling: number): number {
  return Math.min(Math.max(floor, value), ceiling);
}

function secondsText(seconds: number): string {
  return `${Number(seconds.toPrecision(3))} s`;
}
