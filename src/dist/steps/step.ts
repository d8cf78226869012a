/**
 * One step, or one round of local steps: sums are computed, reduced and committed; then the model is evaluated, saved and at the
 * end hashed. Pure functions from a state and the members' reports to a new state and actions.
 *
 * @module
 */

import { committedSteps } from "../replica/step_record.ts";
import type { MembershipEvent } from "../state/events.ts";
import type { Messages, OfferedSum } from "../protocol/messages.ts";
import { type DistEvent, dutiesAfter, isDueAt } from "../replica/plan.ts";
import { isDeserted } from "./leaving.ts";
import { withSave } from "./checkpointing.ts";
import { reasonNotFinite, reasonToSkip, reasonToStop } from "../replica/skipping.ts";
import { addLosses, type LossSum, normOf } from "../vectors/sums.ts";
import { lacking } from "../state/orders.ts";
import { committedStep, type RunState, type StepInProgress, type Transition } from "../state/run_state.ts";
import { withEntry } from "../state/persistent_map.ts";
import { payloadOf } from "../state/traffic.ts";
import { endRun, enter, known, reportAnd, settled, stay } from "../state/transitions.ts";
import { pathTo, type Range } from "../vectors/tree.ts";
import { checksumOfSamples } from "../protocol/checksums.ts";
import { COORDINATOR } from "../protocol/transport.ts";
import type { StateHashes } from "../replica/replica.ts";
import type { MicroBatchLoss, MicroBatchReport } from "../replica/accumulate.ts";
import { sharesOf, totalOf } from "./progress.ts";

/** Whether a sum belongs to the open step, is still missing, and has a report on each of its micro-batches. */
export function isWanted(
  { stage }: RunState,
  { member, lo, hi }: OfferedSum,
  reports: readonly MicroBatchReport[],
): boolean {
  if (stage.kind !== "computing" || !pathTo(lo, hi, stage.reports.length)) return false;
  if (lacking(stage.reports, [[lo, hi]]) < hi - lo) return false;
  // In a round a leaf belongs to one member.
  const isIts = stage.ranges[member]?.some((range) => range[0] === lo && range[1] === hi);
  return (!stage.round || isIts === true) && reports.length === reportsPerLeaf(stage, member) * (hi - lo);
}

function reportsPerLeaf({ round }: StepInProgress, member: string): number {
  return round ? round.localSteps * sizeOf(round.shares[member] ?? [0, 0]) : 1;
}

/** A member offers a sum over [lo, hi), which {@linkcode isWanted}. */
export function offer(
  state: RunState,
  sum: OfferedSum,
  reports: readonly MicroBatchReport[],
  now: number,
): Transition {
  const { stage } = state;
  if (stage.kind !== "computing") return stay(state);
  const { member, lo, hi } = sum;
  const perLeaf = reportsPerLeaf(stage, member);
  const all = [...stage.reports];
  for (let leaf = lo; leaf < hi; leaf++) {
    all[leaf] = reports.slice((leaf - lo) * perLeaf, (leaf - lo + 1) * perLeaf);
  }
  return reduceWhenComputed(state, { ...stage, sums: [...stage.sums, sum], reports: all }, now);
}

/** Begins the all-reduce when no member has anything left to compute. */
export function reduceWhenComputed(state: RunState, progress: StepInProgress, now: number): Transition {
  if (Object.values(progress.ranges).some((ranges) => lacking(progress.reports, ranges) > 0)) {
    return stay({ ...state, stage: { ...progress, kind: "computing" } });
  }
  const reason = reasonToSkip(sharesOf(progress), totalOf(progress));
  if (reason) return commit(state, progress, NaN, now, { reason });
  return {
    state: { ...state, stage: { ...progress, kind: "reducing" } },
    actions: [{ do: "reduce" }],
  };
}

function sizeOf([lo, hi]: Range): number {
  return hi - lo;
}

/** The coordinator has all of a sum: it need not be computed again, whatever happens to its member. */
export function pulled(state: RunState, lo: number, hi: number): Transition {
  const { stage } = state;
  if (stage.kind !== "computing" && stage.kind !== "reducing") return stay(state);
  if (stage.owners.some((owner) => owner !== COORDINATOR)) return stay(state); // reducers have only parts of it
  const sums = stage.sums.map((sum) =>
    sum.lo === lo && sum.hi === hi ? { ...sum, pulled: true as const } : sum
  );
  return stay({ ...state, stage: { ...stage, sums } });
}

/** All members have one owner's parts of the mean. When they have all parts, its norm is known. */
export function reduced(
  state: RunState,
  { reducer, squares, traffic: own }: MembershipEvent & { kind: "reduced" },
  now: number,
): Transition {
  if (state.stage.kind !== "reducing") return stay(state);
  const done = new Map(state.stage.done).set(reducer, own);
  const all = new Map([...state.stage.squares, ...squares]);
  const stage = { ...state.stage, done, squares: all };
  if (stage.owners.some((owner) => !done.has(owner))) return stay({ ...state, stage });
  const inOrder = [...all].sort(([a], [b]) => a - b).flatMap(([, squares]) => squares);
  const norm = normOf(inOrder);
  const traffic = payloadOf([...done.values()]);
  return commit(state, stage, norm, now, { reason: reasonNotFinite(norm), ...traffic });
}

/** One decision for all: apply the mean, or skip the step or round. */
function commit(
  state: RunState,
  done: StepInProgress,
  norm: number,
  now: number,
  { reason, bytesSent = 0, bytesReceived = 0 }: {
    reason?: string;
    bytesSent?: number;
    bytesReceived?: number;
  },
): Transition {
  const seconds = now - done.openedAt;
  const { round, sums, openedIn } = done;
  const localSteps = round?.localSteps;
  const steps = committedSteps({
    step: state.step + 1,
    localSteps,
    microBatches: state.plan.microBatches,
    shares: sharesOf(done),
    gradNorm: norm,
    applied: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    seconds,
    workers: state.members.size,
    generation: state.generation,
    bytesSent,
    bytesReceived,
  });
  const { loss, applied: apply } = steps.at(-1)!;
  const crcs = steps.flatMap(({ samples }) => samples);
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  const order: Messages["commit"] = {
    apply,
    norm,
    loss,
    tokens,
    samples: { count: crcs.length, crc: checksumOfSamples(crcs) },
    ...(round ? { round: { localSteps: round.localSteps, attempt: { openedIn, leaves: sums.length } } } : {}),
  };
  const next: RunState = {
    ...state,
    loss,
    tokens: state.tokens + tokens,
    stepSeconds: seconds,
    skips: apply ? 0 : state.skips + 1,
    skipReason: reason,
    lastOwners: done.owners,
    appliedStep: order.apply ? state.step + 1 : state.appliedStep,
    recentlyLost: new Set(), // a member that was lost before may lack the mean
  };
  // Recorded before a member can apply it, so that after a failover the record has every step.
  const events = steps.map((committed): DistEvent => ({ kind: "step", committed }));
  return events.reduceRight(
    (transition, event) => reportAnd(event, transition),
    enter(next, { kind: "committing", commit: order }),
  );
}

/** When all members have completed the step, it is over. */
export function closeStep(state: RunState, now: number): Transition {
  if (state.stage.kind !== "committing" || state.members.size === 0) return stay(state);
  const step = committedStep(state);
  if (!state.members.values().every((member) => member.step >= step)) return stay(state);
  const { plan, skips, skipReason } = state;
  const error = reasonToStop(skips, plan.maxSkips, skipReason);
  if (error) return endRun({ ...state, step }, now, error);
  return settled({ ...state, step, duties: dutiesOf(state, step) });
}

/** What has to be done after a step. */
export function dutiesOf(state: RunState, step: number): RunState["duties"] {
  const { plan, interrupted, isSaveDue } = state;
  if (step === 0) return [];
  const isCompared = isDueAt(plan, step, plan.hashEvery) && step < plan.steps;
  const due = dutiesAfter(plan, step, interrupted || isDeserted(state));
  const duties = isSaveDue ? withSave(due) : due;
  return isCompared ? ["compare", ...duties] : duties;
}

/** Losses of validation micro-batches; the last ones end the evaluation. */
export function evaluated(
  state: RunState,
  losses: readonly MicroBatchLoss[],
): Transition {
  const { stage } = state;
  if (stage.kind !== "evaluating") return stay(state);
  const all: (LossSum | undefined)[] = [...stage.losses];
  for (const { microBatch, lossSum, tokens } of losses) {
    if (microBatch < all.length) all[microBatch] = { lossSum, tokens };
  }
  if (all.includes(undefined)) return stay({ ...state, stage: { ...stage, losses: all } });
  const { lossSum, tokens } = addLosses(known(all));
  const valLoss = lossSum / tokens;
  return reportAnd({ kind: "evaluated", step: state.step, valLoss }, settled({ ...state, valLoss }));
}

/** The state with the hashes of a member. */
export function hashed(state: RunState, member: string, hashes: StateHashes): RunState {
  const { stage } = state;
  if (stage.kind !== "hashing") return state;
  return { ...state, stage: { ...stage, hashes: withEntry(stage.hashes, member, hashes) } };
}

/** When all hashes are there and equal, the run continues, or ends. */
export function endWhenHashed(state: RunState, now: number): Transition {
  const { stage } = state;
  if (stage.kind !== "hashing" || stage.hashes.size < state.members.size) return stay(state);
  const error = differenceOf(stage.hashes, state.step);
  if (!stage.isLast) {
    if (error) return endRun(state, now, error);
    const [{ state: stateHash }] = stage.hashes.values();
    return settled({ ...state, agreed: { step: state.step, stateHash } });
  }
  const [{ params: paramsHash }] = stage.hashes.values();
  return endRun({ ...state, paramsHash }, now, error);
}

/** Members whose state differs from that of a strict majority; empty where there is no majority, or all are equal. */
export function minorityOf({ stage, members }: RunState): string[] {
  if (stage.kind !== "hashing" || stage.isLast || stage.hashes.size < members.size) return [];
  const all = [...stage.hashes].map(([name, { state }]) => ({ name, state }));
  const isMajority = (hash: string) => 2 * all.filter(({ state }) => state === hash).length > all.length;
  const majority = all.find(({ state }) => isMajority(state))?.state;
  return majority === undefined ? [] : all.filter(({ state }) => state !== majority).map(({ name }) => name);
}

/** Which members have which state, as text; undefined where all are equal. */
function differenceOf(all: ReadonlyMap<string, StateHashes>, step: number): string | undefined {
  const holders = new Map<string, string[]>();
  for (const [member, { state }] of all) holders.set(state, [...(holders.get(state) ?? []), member]);
  if (holders.size === 1) return undefined;
  const groups = [...holders].map(([hash, members]) => `${members.join(", ")}: ${hash}`);
  return `the replicas differ after step ${step}; hashes of their states: ${groups.join("; ")}`;
}
