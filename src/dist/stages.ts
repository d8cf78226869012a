/**
 * How a run goes from step to step: open, all sums in, averaged, committed, evaluated, saved. Pure functions from a state
 * and what members report to a new state and actions.
 *
 * @module
 */

import type { Messages, MicroBatchReport, Range } from "./messages.ts";
import { type DistEvent, dutiesAfter } from "./plan.ts";
import { reasonNotFinite, reasonToSkip } from "./skipping.ts";
import { addLosses } from "./reduction.ts";
import type { LossSum } from "./replica.ts";
import type { Action, OfferedSum, RunState, Stage, StepInProgress, Transition } from "./run_state.ts";
import { assignRanges, pathTo } from "./tree.ts";

/** Ends the run: with an error, or well. */
export function endRun(state: RunState, now: number, error?: string): Transition {
  return enter(state, { kind: "ended", since: now, error });
}

/** What comes next when a step, or a duty after it, is done. */
export function proceed(state: RunState, now: number): Transition {
  const [duty, ...duties] = state.duties;
  const next = { ...state, duties };
  if (duty === "evaluate") {
    const { microBatches } = state.plan.evaluation;
    const losses = Array.from({ length: microBatches }, () => undefined);
    return enter(next, { kind: "evaluating", ranges: rangesOf(state, microBatches), losses });
  }
  if (duty === "save") {
    const members = [...state.members.values()];
    const writer = members.find((member) => member.atHome) ?? members[0];
    return enter(next, { kind: "saving", writer: writer.name });
  }
  if (state.step >= state.plan.steps || state.interrupted) {
    return enter(next, { kind: "hashing", hashes: new Map() });
  }
  const { microBatches } = state.plan;
  return enter(next, {
    kind: "computing",
    openedAt: now,
    ranges: rangesOf(state, microBatches),
    sums: [],
    reports: Array.from({ length: microBatches }, () => undefined),
  });
}

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

  const total = addLosses(known(all));
  const reason = reasonToSkip(known(all), progress.sums, total);
  if (reason) return commit(state, progress, NaN, now, reason);
  return {
    state: { ...state, stage: { ...progress, kind: "averaging" } },
    actions: [{ do: "average", sums: progress.sums, ...total }],
  };
}

/** All members have the mean, and its norm is known. */
export function averaged(state: RunState, norm: number, now: number): Transition {
  if (state.stage.kind !== "averaging") return stay(state);
  return commit(state, state.stage, norm, now, reasonNotFinite(norm));
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
  const next = { ...state, loss, tokens: state.tokens + total.tokens };
  const { state: committing, actions } = enter(next, { kind: "committing", commit: order });
  return { state: committing, actions: [...actions, { do: "report", event }] };
}

/** When all members have ended the step, it is over. */
export function closeStep(state: RunState, now: number): Transition {
  const step = state.step + 1;
  const ended = [...state.members.values()].every((member) => member.step >= step);
  if (state.stage.kind !== "committing" || !ended) return stay(state);
  const duties = dutiesAfter(state.plan, step, state.interrupted);
  return proceed({ ...state, step, duties }, now);
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

/** The checkpoint is complete, at this place of the member's machine. */
export function saved(state: RunState, member: string, place: string, now: number): Transition {
  if (state.stage.kind !== "saving" || state.stage.writer !== member) return stay(state);
  const elsewhere = state.members.get(member)?.atHome ? {} : { elsewhere: { member, place } };
  return reportAnd({ kind: "saved", step: state.step, ...elsewhere }, proceed(state, now));
}

/** A member's last words; all of them end the run. */
export function hashed(
  state: RunState,
  member: string,
  hashes: Messages["hashes"],
  now: number,
): Transition {
  if (state.stage.kind !== "hashing") return stay(state);
  const all = new Map(state.stage.hashes).set(member, hashes);
  if (all.size < state.members.size) return stay({ ...state, stage: { ...state.stage, hashes: all } });
  const error = differenceOf(all, state.step);
  const sum = (count: (hashes: Messages["hashes"]) => number) =>
    [...all.values()].reduce((total, each) => total + count(each), 0);
  return endRun(
    {
      ...state,
      paramsHash: hashes.params,
      bytesSent: sum((each) => each.bytesSent),
      bytesReceived: sum((each) => each.bytesReceived),
    },
    now,
    error,
  );
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

/** Equal speeds, members in the order of their names. */
function rangesOf(state: RunState, microBatches: number): Record<string, Range> {
  const names = [...state.members.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const ranges = assignRanges(microBatches, names.map(() => 1));
  return Object.fromEntries(names.map((name, i) => [name, ranges[i]]));
}

function known<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}

/** Nothing follows. */
export function stay(state: RunState): Transition {
  return { state, actions: [] };
}

function enter(state: RunState, stage: Stage): Transition {
  return { state: { ...state, stage }, actions: [{ do: "announce" }] };
}

function reportAnd(event: DistEvent, { state, actions }: Transition): Transition {
  const report: Action = { do: "report", event };
  return { state, actions: [report, ...actions] };
}
