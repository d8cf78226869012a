/**
 * How a step goes: all sums in, averaged, committed; then evaluated, saved and at the end hashed. Pure functions from a
 * state and what members report to a new state and actions.
 *
 * @module
 */

import { proceed } from "./boundary.ts";
import type { MembershipEvent } from "./membership_events.ts";
import type { Messages, MicroBatchReport } from "./messages.ts";
import { type DistEvent, dutiesAfter } from "./plan.ts";
import { withSave } from "./saving.ts";
import { reasonNotFinite, reasonToSkip, reasonToStop } from "./skipping.ts";
import { addLosses, normOf } from "./reduction.ts";
import type { LossSum } from "./replica.ts";
import { COORDINATOR } from "./rivals.ts";
import type { OfferedSum, RunState, StepInProgress, Transition } from "./run_state.ts";
import { endRun, enter, known, reportAnd, stay } from "./transitions.ts";
import { pathTo } from "./tree.ts";

/** A member has a sum over [lo, hi). Sums of what others have computed already are not needed. */
export function offer(
  state: RunState,
  sum: OfferedSum,
  reports: readonly MicroBatchReport[],
  now: number,
): Transition {
  const { stage } = state;
  const { lo, hi } = sum;
  if (stage.kind !== "computing") return stay(state);
  if (!pathTo(lo, hi, stage.reports.length) || reports.length !== hi - lo) return stay(state);
  if (stage.reports.slice(lo, hi).some((report) => report !== undefined)) return stay(state);
  const all = [...stage.reports];
  all.splice(lo, hi - lo, ...reports);
  const progress: StepInProgress = { ...stage, sums: [...stage.sums, sum], reports: all };
  if (all.includes(undefined)) return stay({ ...state, stage: { ...progress, kind: "computing" } });

  const reason = reasonToSkip(known(all), progress.sums, addLosses(known(all)));
  if (reason) return commit(state, progress, NaN, now, reason);
  return {
    state: { ...state, stage: { ...progress, kind: "averaging" } },
    actions: [{ do: "average" }],
  };
}

/** The coordinator has all of a sum: it need not be computed again, whatever happens to its member. */
export function pulled(state: RunState, lo: number, hi: number): Transition {
  const { stage } = state;
  if (stage.kind !== "computing" && stage.kind !== "averaging") return stay(state);
  if (stage.owners.some((owner) => owner !== COORDINATOR)) return stay(state); // reducers have only parts of it
  const sums = stage.sums.map((sum) =>
    sum.lo === lo && sum.hi === hi ? { ...sum, pulled: true as const } : sum
  );
  return stay({ ...state, stage: { ...stage, sums } });
}

/** All members have some parts of the mean. When they have all, its norm is known. */
export function reduced(
  state: RunState,
  { reducer, squares }: MembershipEvent & { kind: "reduced" },
  now: number,
): Transition {
  if (state.stage.kind !== "averaging") return stay(state);
  const done = new Set(state.stage.done).add(reducer);
  const all = new Map([...state.stage.squares, ...squares]);
  const stage = { ...state.stage, done, squares: all };
  if (stage.owners.some((owner) => !done.has(owner))) return stay({ ...state, stage });
  const inOrder = [...all].sort(([a], [b]) => a - b).flatMap(([, squares]) => squares);
  const norm = normOf(inOrder);
  return commit(state, stage, norm, now, reasonNotFinite(norm));
}

/** One decision for all: apply the mean, or skip the step. */
function commit(
  state: RunState,
  done: StepInProgress,
  norm: number,
  now: number,
  reason?: string,
): Transition {
  const reports = known(done.reports);
  const total = addLosses(reports);
  const loss = total.lossSum / total.tokens;
  const order: Messages["commit"] = {
    apply: reason === undefined,
    norm,
    loss,
    tokens: total.tokens,
    crcs: reports.map(({ crc }) => crc),
  };
  const event: DistEvent = {
    kind: "step",
    committed: {
      step: state.step + 1,
      loss,
      tokens: total.tokens,
      gradNorm: norm,
      applied: order.apply,
      ...(reason === undefined ? {} : { reason }),
      seconds: now - done.openedAt,
      workers: state.members.size,
      generation: state.generation,
      computed: computedBy(done.sums),
      samples: order.crcs,
    },
  };
  const next: RunState = {
    ...state,
    loss,
    tokens: state.tokens + total.tokens,
    stepSeconds: event.committed.seconds,
    skips: order.apply ? 0 : state.skips + 1,
    skipReason: reason,
    lastOwners: done.owners,
    appliedStep: order.apply ? state.step + 1 : state.appliedStep,
    former: new Set(), // who was lost before may lack the mean
  };
  // On record before anybody can apply it: whoever takes over finds each step that was.
  return reportAnd(event, enter(next, { kind: "committing", commit: order }));
}

/** When all members have ended the step, it is over. */
export function closeStep(state: RunState, now: number): Transition {
  const step = state.step + 1;
  const members = [...state.members.values()];
  const ended = members.length > 0 && members.every((member) => member.step >= step);
  if (state.stage.kind !== "committing" || !ended) return stay(state);
  const { plan, skips, skipReason } = state;
  const error = reasonToStop(skips, plan.maxSkips, skipReason);
  if (error) return endRun({ ...state, step }, now, error);
  return proceed({ ...state, step, duties: dutiesOf(state, step) }, now);
}

/** What has to be done after a step. */
export function dutiesOf({ plan, interrupted, isSaveDue }: RunState, step: number): RunState["duties"] {
  if (step === 0) return [];
  const isCompared = plan.hashEvery > 0 && step % plan.hashEvery === 0 && step < plan.steps;
  const due = dutiesAfter(plan, step, interrupted);
  const duties = isSaveDue ? withSave(due) : due;
  return isCompared ? ["compare", ...duties] : duties;
}

/** Losses of validation micro-batches; the last ones end the evaluation. */
export function evaluated(
  state: RunState,
  losses: Messages["evaluated"]["losses"],
  now: number,
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
  return reportAnd(
    { kind: "evaluated", step: state.step, valLoss },
    proceed({ ...state, valLoss }, now),
  );
}

/** The state with the hashes of a member. */
export function hashed(state: RunState, member: string, hashes: Messages["hashes"]): RunState {
  const { stage } = state;
  if (stage.kind !== "hashing") return state;
  return { ...state, stage: { ...stage, hashes: new Map(stage.hashes).set(member, hashes) } };
}

/** When all hashes are there and equal, the run goes on, or ends. */
export function endWhenHashed(state: RunState, now: number): Transition {
  const { stage } = state;
  if (stage.kind !== "hashing" || stage.hashes.size < state.members.size) return stay(state);
  const all = [...stage.hashes.values()];
  const error = differenceOf(stage.hashes, state.step);
  if (!stage.isLast) {
    return error ? endRun(state, now, error) : proceed({ ...state, comparedAt: state.step }, now);
  }
  const sum = (count: (hashes: Messages["hashes"]) => number) =>
    all.reduce((total, each) => total + count(each), 0);
  const last: RunState = {
    ...state,
    paramsHash: all[0].params,
    bytesSent: sum(({ bytesSent }) => bytesSent),
    bytesReceived: sum(({ bytesReceived }) => bytesReceived),
    stateBytes: sum(({ stateBytes }) => stateBytes),
  };
  return endRun(last, now, error);
}

/** Who has another state than more than half of all; none where there is no such majority, or all are equal. */
export function minorityOf({ stage, members }: RunState): string[] {
  if (stage.kind !== "hashing" || stage.isLast || stage.hashes.size < members.size) return [];
  const all = [...stage.hashes].map(([name, { state }]) => ({ name, state }));
  const isMajority = (hash: string) => 2 * all.filter(({ state }) => state === hash).length > all.length;
  const majority = all.find(({ state }) => isMajority(state))?.state;
  return majority === undefined ? [] : all.filter(({ state }) => state !== majority).map(({ name }) => name);
}

/** Who has another state than the others, in words; undefined where all are equal. */
function differenceOf(all: ReadonlyMap<string, Messages["hashes"]>, step: number): string | undefined {
  const holders = new Map<string, string[]>();
  for (const [member, { state }] of all) holders.set(state, [...(holders.get(state) ?? []), member]);
  if (holders.size === 1) return undefined;
  const groups = [...holders].map(([hash, members]) => `${members.join(", ")}: ${hash}`);
  return `the replicas differ after step ${step}; hashes of their states: ${groups.join("; ")}`;
}

function computedBy(sums: readonly OfferedSum[]): Record<string, number[]> {
  const computed: Record<string, number[]> = {};
  for (const { member, lo, hi } of [...sums].sort((a, b) => a.lo - b.lo)) {
    computed[member] = [...(computed[member] ?? []), ...Array.from({ length: hi - lo }, (_, i) => lo + i)];
  }
  return computed;
}
