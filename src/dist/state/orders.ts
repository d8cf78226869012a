/**
 * The orders to members and candidates in each stage of a run, and which members have yet to answer. Pure functions.
 *
 * @module
 */

import type { ControlKind, Messages } from "../protocol/messages.ts";
import type { Candidate, Member } from "./participants.ts";
import type { RunState, Stage } from "./run_state.ts";
import type { Range } from "../vectors/tree.ts";

/** An order to members; idempotent. */
export type Order = { [K in ControlKind]: { kind: K; step: number; message: Messages[K] } }[ControlKind];

/** The order of this stage to one member; undefined where it has nothing to do, or the all-reduce is in progress. */
export function orderFor(state: RunState, member: string): Order | undefined {
  const { stage, step } = state;
  switch (stage.kind) {
    case "computing": {
      const { ranges: { [member]: ranges = [] }, round, members } = stage;
      if (!round) return { kind: "assign", step: step + 1, message: { ranges, members } };
      const { localSteps, shares } = round, share = shares[member];
      return { kind: "assign", step: step + 1, message: { ranges, round: { localSteps, share }, members } };
    }
    case "evaluating": {
      const { ranges: { [member]: ranges = [] }, sampler } = stage;
      return { kind: "evaluate", step, message: sampler ? { ranges, sampler } : { ranges } };
    }
    default:
      return orderForAll(state);
  }
}

/** The order of this stage where it is the same for all members. */
export function orderForAll(state: RunState): Order | undefined {
  const { stage, step, writing } = state;
  switch (stage.kind) {
    case "committing":
      return { kind: "commit", step: step + 1, message: stage.commit };
    case "saving":
      return saveOrder(step, stage.writer, [...stage.copying], state);
    case "writing":
      return writing && saveOrder(writing.step, writing.member, [], state);
    case "hashing":
      return { kind: "hash", step, message: stage.isLast ? { isLast: true } : {} };
    case "pinning":
      return { kind: "pin", step, message: { donor: stage.donor } };
    case "ended":
      return { kind: "finish", step, message: endingOf(stage) };
    case "settled":
    case "waiting":
    case "gathering":
    case "reducing":
    case "computing":
    case "evaluating":
    case "admitting":
      return undefined;
  }
}

function saveOrder(step: number, writer: string, copying: string[], state: RunState): Order {
  const { members, appliedStep, writing } = state;
  const isKept = writing?.by === "keeper" && writing.step === step ? { isKept: true } as const : {};
  const message = { writer, copying, members: [...members.keys()], appliedStep, ...isKept };
  return { kind: "save", step, message };
}

/** The order to a member to keep its checkpoint, which can't be written into the run's folder. */
export function keepOrder(state: RunState): Order | undefined {
  const { writing } = state;
  return writing && saveOrder(writing.step, writing.member, [], state);
}

/** The order to a candidate; undefined where it only follows the steps. */
export function orderForCandidate(
  { stage, step }: RunState,
  { source, ready }: Candidate,
): Order | undefined {
  if (stage.kind === "ended") return { kind: "finish", step, message: endingOf(stage) };
  return source && !ready
    ? { kind: "takeover", step: source.step, message: { donor: source.donor } }
    : undefined;
}

function endingOf({ error, canResume }: Stage & { kind: "ended" }): Messages["finish"] {
  return canResume ? { error, canResume } : { error };
}

/** Whether a member still has to carry out the order of this stage. */
export function isAwaited({ stage, step, writing }: RunState, member: Member): boolean {
  switch (stage.kind) {
    case "computing":
      return lacking(stage.reports, stage.ranges[member.name]) > 0;
    case "committing":
      return member.step <= step;
    case "evaluating":
      return lacking(stage.losses, stage.ranges[member.name]) > 0;
    case "saving":
      return stage.copying.has(member.name);
    case "writing":
      return writing?.member === member.name && writing.by !== "coordinator";
    case "hashing":
      return !stage.hashes.has(member.name);
    case "pinning":
      return stage.donor === member.name;
    case "reducing":
    case "ended":
      return true;
    case "settled":
    case "waiting":
    case "gathering":
    case "admitting":
      return false;
  }
}

/** How many leaves, or validation micro-batches, of these ranges have no result yet. */
export function lacking(results: readonly unknown[], ranges: readonly Range[] = []): number {
  return ranges.reduce(
    (sum, [lo, hi]) => sum + results.slice(lo, hi).filter((result) => result === undefined).length,
    0,
  );
}
