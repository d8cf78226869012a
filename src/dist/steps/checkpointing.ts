/**
 * Checkpoints: when all states were found equal, one member copies its own; the others wait only for that copy. A member at home
 * writes it into the run's folder; from a member on another machine the coordinator collects it. Training continues meanwhile.
 * Pure functions.
 *
 * @module
 */

import type { MembershipEvent } from "../state/events.ts";
import type { RunState, Transition } from "../state/run_state.ts";
import { andThen, endRun, isOver, reportAnd, settled, stay } from "../state/transitions.ts";
import { reasonUnsaved } from "../replica/plan.ts";
import type { SaveResult } from "../replica/replica.ts";

/** A member has copied its state, or is lost. When all have, training continues while the checkpoint is written. */
export function copied(state: RunState, member: string): Transition {
  const { stage, step, agreed } = state;
  if (stage.kind !== "saving" || !stage.copying.has(member)) return stay(state);
  const copying = new Set(stage.copying);
  copying.delete(member);
  if (copying.size > 0) return stay({ ...state, stage: { ...stage, copying } });
  const { writer } = stage;
  const isHome = state.members.get(writer)?.atHome;
  const writing = { member: writer, step, by: isHome ? "member" : "coordinator" } as const;
  const stateHash = agreed?.step === step ? agreed.stateHash : undefined;
  const begun: Transition = {
    state: { ...state, writing, isSaveDue: false },
    actions: isHome ? [] : [{ do: "collect", member: writer, step, stateHash }],
  };
  return andThen(begun, settled);
}

/** A member has written a checkpoint, or its own optimizer moments, or failed to. */
export function saved(
  state: RunState,
  { member, step, result }: MembershipEvent & { kind: "saved" },
  now: number,
): Transition {
  const { stage, writing } = state;
  const isWriter = writing?.member === member && writing.step === step && writing.by !== "coordinator";
  if (isWriter) return written(state, result, now);
  // From a member elsewhere, or one that is not the run's writer, it is about that member's own files.
  const isAbout = stage.kind === "saving" && stage.writer === member && state.members.get(member)?.atHome;
  if (isAbout || !("error" in result) || stage.kind === "ended") return stay(state);
  return reportAnd({ kind: "unkept", member, step, error: result.error }, stay(state));
}

/** The coordinator has collected a checkpoint, or failed to: then the member that has it keeps it on its own machine. */
export function collected(
  state: RunState,
  { member, step, result }: MembershipEvent & { kind: "collected" },
  now: number,
): Transition {
  const { writing } = state;
  if (writing?.member !== member || writing.step !== step || writing.by !== "coordinator") {
    // The member was lost meanwhile: a complete checkpoint still counts.
    return "place" in result && state.stage.kind !== "ended"
      ? reportAnd({ kind: "saved", step, member, place: result.place }, stay(state))
      : stay(state);
  }
  return "place" in result ? written(state, result, now) : keep(state, result.error);
}

/** The member that has a checkpoint in flight is to keep it on its machine. */
export function keep(state: RunState, error?: string): Transition {
  const { writing } = state;
  if (writing?.by !== "coordinator") return stay(state);
  const kept: Transition = {
    state: { ...state, writing: { ...writing, by: "keeper" } },
    actions: [{ do: "keep" }],
  };
  return error === undefined ? kept : reportAnd({ kind: "unsaved", step: writing.step, error }, kept);
}

/**
 * The checkpoint is complete, or could not be written: then the run continues without it, or, if it was the last one, ends with an
 * error.
 */
function written(state: RunState, result: SaveResult, now: number): Transition {
  const { stage, writing } = state;
  const { member, step, by } = writing!;
  if (stage.kind === "ended") return stay(state);
  const isKept = by === "keeper";
  const next: RunState = {
    ...state,
    writing: undefined,
    settledStep: Math.max(step, state.settledStep),
    savedStep: "place" in result && !isKept ? step : state.savedStep,
  };
  const continued = () => stage.kind === "writing" ? settled(next) : stay(next);
  if ("place" in result) {
    const elsewhere = isKept ? { elsewhere: true } as const : {};
    return reportAnd({ kind: "saved", step, member, place: result.place, ...elsewhere }, continued());
  }
  const isLast = stage.kind === "writing" && isOver(state) && step === state.step;
  if (isLast) return endRun(next, now, reasonUnsaved(step, result.error));
  return reportAnd({ kind: "unsaved", step, error: result.error }, continued());
}

/** The state without a member that may have been writing: its unfinished checkpoint does not count. */
export function withoutWriter(state: RunState, lost: string): RunState {
  return state.writing?.member === lost ? { ...state, writing: undefined, isSaveDue: true } : state;
}

/** These duties, with a checkpoint. */
export function withSave(duties: RunState["duties"]): RunState["duties"] {
  return duties.includes("save") ? duties : [...duties, "save"];
}
