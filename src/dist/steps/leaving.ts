/**
 * A worker that is asked to end asks to leave. It may go at once where others stay, since they compute its remaining work. Where all
 * want to leave, the state is saved first. Pure functions.
 *
 * @module
 */

import type { DistEvent } from "../replica/plan.ts";
import type { RunState, Transition } from "../state/run_state.ts";
import { withoutWriter, withSave } from "./checkpointing.ts";
import { withoutSampler } from "./sampling.ts";
import { hasResiduals } from "./reducer_set.ts";
import { andThen, reportAnd, settled, stay, withCandidate } from "../state/transitions.ts";

/** Seconds that an open step, or an evaluation, may still take in a run that is to end. Then it is dropped. */
const ENDING_SECONDS = 5;

/** Whether there are members, and all want to leave. */
export function isDeserted({ members }: RunState): boolean {
  return members.size > 0 && members.values().every(({ isLeaving }) => isLeaving);
}

/** Whether the present state is not saved yet, and still can be. */
export function isUnsaved({ step, settledStep, writing }: RunState): boolean {
  return step > settledStep && writing?.step !== step;
}

/**
 * The run without a member; its unfinished work is not handled here.
 *
 * @param error why, where it did not leave voluntarily
 */
export function withoutMember(state: RunState, name: string, error?: string): Transition {
  const members = new Map(state.members);
  const { nonce } = members.get(name)!;
  members.delete(name);
  const left = leftEvent(name, members.size, error);
  const { state: remaining, actions } = withoutSampler(state, name);
  const next = withoutDonor({
    ...withoutWriter(remaining, name),
    members,
    generation: state.generation + (state.generation > 0 ? 1 : 0),
    recentlyLost: new Set(state.recentlyLost).add(nonce),
  }, name);
  const lost = { state: next, actions };
  if (!hasResiduals(state)) return reportAnd(left, lost);
  const dropped = { kind: "residualsDropped", holder: name, reason: "it left" } as const;
  return reportAnd(left, reportAnd(dropped, lost));
}

/** What is reported of a member or candidate that leaves; `members` are left. */
export function leftEvent(member: string, members: number, error?: string): DistEvent {
  return { kind: "left", member, members, ...(error ? { error } : {}) };
}

/** Candidates whose donor is lost need another one. */
function withoutDonor(state: RunState, donor: string): RunState {
  let next = state;
  for (const candidate of state.candidates.values()) {
    if (candidate.source?.donor !== donor || candidate.ready) continue;
    next = withCandidate(next, { ...candidate, source: undefined });
  }
  return next;
}

/** All members leave; nothing is unsaved. */
export function disband(state: RunState): Transition {
  let left = stay({ ...state, endingSince: undefined });
  for (const name of state.members.keys()) left = andThen(left, (state) => withoutMember(state, name));
  return andThen(left, withoutMembers);
}

/** No member is left. The first member sets the run's credentials; if the run has not begun, the next one sets them again. */
export function withoutMembers(state: RunState): Transition {
  if (state.generation > 0) return settled(state);
  return stay({ ...state, stage: { kind: "waiting" }, credentials: undefined });
}

/**
 * Drops a step that does not end in time; it is computed again when the run is resumed. The generation rises, so that members can
 * tell later orders from stale ones.
 */
export function dropLateStep(state: RunState, now: number): Transition | undefined {
  const { stage, endingSince } = state;
  if (endingSince === undefined || now - endingSince < ENDING_SECONDS) return undefined;
  if (!["computing", "reducing", "evaluating"].includes(stage.kind)) return undefined;
  const generation = state.generation + 1;
  return settled({ ...state, generation, duties: isUnsaved(state) ? withSave([]) : [] });
}
