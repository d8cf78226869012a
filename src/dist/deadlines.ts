/**
 * When a worker or a reducer counts as lost. Deadlines follow what was seen of the pace: many times the longest that anybody took for
 * a result in such a stage, within a floor and a ceiling. What was never seen (something may be compiled first) has the
 * ceiling.
 *
 * @module
 */

import { isAwaited } from "./orders.ts";
import { isAveraging } from "./reducers.ts";
import type { Member, Participant, Reducer, RunState } from "./run_state.ts";
import { withMember } from "./transitions.ts";

/** Seconds for which nobody may listen at a member's place: it is enough to connect again to a restarted server. */
export const GONE_SECONDS = 5;
/** A silent member is lost after so many times the longest that a result took. */
const SILENCE_FACTOR = 10;
/** One that lives without progress, after so many times the silence allowed; the ceiling is higher, too. */
const STALL_FACTOR = 3;
const STALL_CEILING_FACTOR = 10;

/** The state after a member has delivered a result: that is progress, and shows the pace. */
export function delivered(state: RunState, member: Member, now: number): RunState {
  const moved = withMember(state, { ...member, progressAt: now });
  const { kind } = state.stage;
  if (!isAwaited(state, member)) return moved;
  return {
    ...moved,
    pace: { ...state.pace, [kind]: Math.max(state.pace[kind] ?? 0, now - state.stageSince) },
  };
}

/**
 * Why a participant counts as lost, in words; undefined where it does not.
 *
 * @param owing since when each member owes parts of a vector or acknowledgements
 */
export function reasonLost(
  state: RunState,
  participant: Participant,
  now: number,
  owing?: ReadonlyMap<string, number>,
): string | undefined {
  const { name, phase, step } = participant;
  const silent = reasonSilent(state, participant, now);
  if (silent) return `${silent}; it was last seen ${phase} after step ${step}`;
  const member = state.members.get(name);
  if (!member) return undefined;
  const stall = stallAllowed(state);
  if (now - stillSince(state, member, owing) >= stall) {
    return `it made no progress for ${inWords(stall)}; it was last seen ${phase} after step ${step}`;
  }
}

/** Why somebody counts as lost of whom nothing is heard, in words; undefined where it does not. */
export function reasonSilent(
  state: RunState,
  { goneSince, heardAt }: Pick<Participant, "goneSince" | "heardAt">,
  now: number,
): string | undefined {
  if (goneSince !== undefined && now - goneSince >= Math.min(GONE_SECONDS, state.plan.patienceSeconds)) {
    return "its connection has ended, its process is probably dead";
  }
  const silence = silenceAllowed(state);
  if (now - heardAt >= silence) return `nothing was heard of it for ${inWords(silence)}`;
}

/**
 * Why a reducer counts as lost that lives and does not get on, in words; undefined where it does not. Either nobody keeps it
 * waiting, or all members seem to: then it is rather what they send that does not reach it.
 */
export function reasonStuck(state: RunState, reducer: Reducer, now: number): string | undefined {
  if (!isAveraging(state, reducer.name)) return undefined;
  const { members, stageSince, deafAt = -Infinity } = state;
  const owing = [...members.keys()].flatMap((name) => reducer.owing.get(name) ?? []);
  const isOwedByAll = owing.length === members.size;
  const since = isOwedByAll
    ? Math.max(...owing)
    : owing.length > 0
    ? Infinity
    : reducer.idleSince ?? Infinity;
  const stall = stallAllowed(state);
  if (now - Math.max(since, stageSince, deafAt) < stall) return undefined;
  return isOwedByAll
    ? `nothing that members send has reached it for ${inWords(stall)}`
    : `it has not finished for ${inWords(stall)} though nobody keeps it waiting`;
}

/** Since when a member has kept the others waiting without progress; Infinity where it does not. */
function stillSince(state: RunState, member: Member, owing?: ReadonlyMap<string, number>): number {
  const { stage, stageSince, deafAt = -Infinity } = state;
  if (stage.kind === "averaging") {
    const all = [owing, ...[...state.reducers.values()].map((reducer) => reducer.owing)];
    return Math.max(Math.min(...all.map((each) => each?.get(member.name) ?? Infinity)), deafAt);
  }
  const isSaving = stage.kind === "saving" || stage.kind === "writing"; // it may take its time
  if (isSaving || !isAwaited(state, member)) return Infinity;
  return Math.max(member.progressAt, stageSince);
}

function silenceAllowed(state: RunState): number {
  const { patienceSeconds, silenceSeconds } = state.plan;
  return within(patienceSeconds, SILENCE_FACTOR * paceOf(state), silenceSeconds);
}

function stallAllowed(state: RunState): number {
  const { patienceSeconds, silenceSeconds } = state.plan;
  const seconds = STALL_FACTOR * SILENCE_FACTOR * paceOf(state);
  return within(STALL_FACTOR * patienceSeconds, seconds, STALL_CEILING_FACTOR * silenceSeconds);
}

/** The longest seen in this stage; vectors travel at the pace of the slowest of all. */
function paceOf({ stage, pace }: RunState): number {
  const seen = stage.kind === "averaging" ? Math.max(-Infinity, ...Object.values(pace)) : pace[stage.kind];
  return seen === undefined || seen < 0 ? Infinity : seen;
}

function within(floor: number, value: number, ceiling: number): number {
  return Math.min(Math.max(floor, value), ceiling);
}

function inWords(seconds: number): string {
  return `${Number(seconds.toPrecision(3))} s`;
}
