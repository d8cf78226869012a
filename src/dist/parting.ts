/**
 * Who is asked to end asks to leave: it may go at once where others stay, since they compute what it leaves behind. Where all want to
 * go, the state is saved first. Pure functions.
 *
 * @module
 */

import { proceed } from "./boundary.ts";
import { lose } from "./reformation.ts";
import type { RunState, Transition } from "./run_state.ts";
import { withSave } from "./saving.ts";
import { andThen, stay } from "./transitions.ts";

/** Seconds that an open step, or an evaluation, may take until it ends where the run does. Then it is dropped. */
const ENDING_SECONDS = 5;

/** Whether there are members, and all want to leave. */
export function isDeserted({ members }: RunState): boolean {
  return members.size > 0 && [...members.values()].every(({ isLeaving }) => isLeaving);
}

/** Whether there is a state that nobody has saved, and somebody could. */
export function isUnsaved({ step, settledStep, writing }: RunState): boolean {
  return step > settledStep && writing?.step !== step;
}

/** Lets those go who want to, as far as that loses nothing. In a run that is to end all stay until then. */
export function release(state: RunState, now: number): Transition {
  if (state.interrupted || state.stage.kind === "ended") return stay(state);
  if (isDeserted(state)) return desert(state, now);
  let released = stay(state);
  for (const { name, isLeaving } of state.members.values()) {
    if (!isLeaving || state.writing?.member === name) continue;
    released = andThen(released, (state) => lose(state, name, undefined, now));
  }
  return released;
}

/** All want to go: an open step may be ended first, then what is not saved is. */
function desert(state: RunState, now: number): Transition {
  const ending = { ...state, endingSince: state.endingSince ?? now };
  return ending.stage.kind === "waiting" ? proceed(ending, now) : stay(ending);
}

/** All go, with nothing that is not saved. */
export function disband(state: RunState, now: number): Transition {
  let left = stay({ ...state, endingSince: undefined });
  for (const name of state.members.keys()) left = andThen(left, (state) => lose(state, name, undefined, now));
  return left;
}

/**
 * A step that does not come to its end in time is dropped: it is computed again when the run is resumed. The generation rises, so that
 * members know an order that follows it from a late one.
 */
export function dropLateStep(state: RunState, now: number): Transition | undefined {
  const { stage, endingSince } = state;
  if (endingSince === undefined || now - endingSince < ENDING_SECONDS) return undefined;
  if (!["computing", "averaging", "evaluating"].includes(stage.kind)) return undefined;
  const generation = state.generation + 1;
  return proceed({ ...state, generation, duties: isUnsaved(state) ? withSave([]) : [] }, now);
}
