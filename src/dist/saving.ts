/**
 * How the run gets a checkpoint: when all states were found equal, one member copies its own, which is all that the
 * others wait for, and writes it while the run goes on. Pure functions.
 *
 * @module
 */

import { isOver, proceed } from "./boundary.ts";
import type { MembershipEvent } from "./membership_events.ts";
import type { DistEvent } from "./plan.ts";
import type { RunState, Transition } from "./run_state.ts";
import { endRun, reportAnd, stay } from "./transitions.ts";

/** A member has copied its state, or is lost. When all have, the run goes on while the writer writes. */
export function copied(state: RunState, member: string, now: number): Transition {
  const { stage, step } = state;
  if (stage.kind !== "saving" || !stage.copying.has(member)) return stay(state);
  const copying = new Set(stage.copying);
  copying.delete(member);
  if (copying.size > 0) return stay({ ...state, stage: { ...stage, copying } });
  return proceed({ ...state, writing: { member: stage.writer, step }, isSaveDue: false }, now);
}

/**
 * The checkpoint is complete, or could not be written: then the run goes on without it. It ends with an error where it was
 * the last one.
 */
export function saved(
  state: RunState,
  { member, step, result }: MembershipEvent & { kind: "saved" },
  now: number,
): Transition {
  const { stage, writing } = state;
  const isWriter = writing?.member === member || (stage.kind === "saving" && stage.writer === member);
  if (!isWriter && "error" in result && stage.kind !== "ended") {
    return reportAnd({ kind: "momentsUnsaved", member, step, error: result.error }, stay(state));
  }
  if (writing?.member !== member || writing.step !== step || stage.kind === "ended") return stay(state);
  const next: RunState = { ...state, writing: undefined };
  const goOn = () => stage.kind === "writing" ? proceed(next, now) : stay(next);
  if ("place" in result) {
    const elsewhere = state.members.get(member)?.atHome ? {} : { elsewhere: { member, place: result.place } };
    return reportAnd({ kind: "saved", step, ...elsewhere }, goOn());
  }
  const isLast = stage.kind === "writing" && isOver(state) && step === state.step;
  if (isLast) return endRun(next, now, reasonUnsaved(step, result.error));
  return reportAnd({ kind: "unsaved", step, error: result.error } satisfies DistEvent, goOn());
}

/** Why a run ends whose last checkpoint could not be written, in words. */
export function reasonUnsaved(step: number, error: string): string {
  return `the state after step ${step}, the last, is lost: ${error}`;
}

/** The state without a member that may have been writing: what it wrote is not there. */
export function withoutWriter(state: RunState, lost: string): RunState {
  return state.writing?.member === lost ? { ...state, writing: undefined, isSaveDue: true } : state;
}

/** These duties, a checkpoint among them. */
export function withSave(duties: RunState["duties"]): RunState["duties"] {
  return duties.includes("save") ? duties : [...duties, "save"];
}
