/**
 * The small transitions that the coordinator's pure functions are composed of.
 *
 * @module
 */

import type { DistEvent } from "../replica/plan.ts";
import { withEntry } from "./persistent_map.ts";
import type { Candidate, Member } from "./participants.ts";
import type { RunState, Stage, Transition } from "./run_state.ts";

/** No action follows. */
export function stay(state: RunState): Transition {
  return { state, actions: [] };
}

/** The stage is complete: `between_steps.ts` chooses the next. */
export function settled(state: RunState): Transition {
  return stay({ ...state, stage: { kind: "settled" } });
}

/** The same, at a boundary that has already admitted its candidates. */
export function settledOpen(state: RunState): Transition {
  return stay({ ...state, stage: { kind: "settled", isOpen: true } });
}

/** Begins a stage, and tells all members what it is. */
export function enter(state: RunState, stage: Stage): Transition {
  return { state: { ...state, stage }, actions: [{ do: "announce" }] };
}

/** Ends the run: successfully, or with an error. */
export function endRun(state: RunState, now: number, error?: string): Transition {
  return enter(state, { kind: "ended", since: now, error });
}

/** Ends the run with an error after which another coordinator can resume it. */
export function endForNow(state: RunState, now: number, error: string): Transition {
  return enter(state, { kind: "ended", since: now, error, canResume: true });
}

/** Reports an event before the other actions. */
export function reportAnd(event: DistEvent, { state, actions }: Transition): Transition {
  return { state, actions: [{ do: "report", event }, ...actions] };
}

/** One transition, then another from its state. */
export function andThen(first: Transition, next: (state: RunState) => Transition): Transition {
  const { state, actions } = next(first.state);
  return { state, actions: [...first.actions, ...actions] };
}

/** The state with a member that is new or has changed. */
export function withMember(state: RunState, member: Member): RunState {
  return { ...state, members: withEntry(state.members, member.name, member) };
}

/** The state with a candidate that is new or has changed. */
export function withCandidate(state: RunState, candidate: Candidate): RunState {
  return { ...state, candidates: new Map(state.candidates).set(candidate.name, candidate) };
}

/** The state without a candidate. */
export function withoutCandidate(state: RunState, name: string): RunState {
  const candidates = new Map(state.candidates);
  candidates.delete(name);
  return { ...state, candidates };
}

/** The values that are not undefined. */
export function known<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}

/** Whether no step is to follow. */
export function isOver({ step, plan, interrupted }: RunState): boolean {
  return step >= plan.steps || interrupted;
}
