/**
 * The loss of a member: the others get its work within the same step. Pure functions.
 *
 * @module
 */

import { reasonToWait } from "../steps/between_steps.ts";
import type { Round } from "../replica/rounds.ts";
import { restart } from "../steps/reducer_set.ts";
import { lacking } from "../state/orders.ts";
import type { RunState, Stage, StepInProgress, Transition } from "../state/run_state.ts";
import { copied, withSave } from "../steps/checkpointing.ts";
import { shareOut } from "../steps/work_sharing.ts";
import { closeStep, endWhenHashed, minorityOf, reduceWhenComputed } from "../steps/step.ts";
import {
  andThen,
  enter,
  reportAnd,
  settled,
  settledOpen,
  stay,
  withoutCandidate,
} from "../state/transitions.ts";
import type { Range, Ranges } from "../vectors/tree.ts";
import { isDeserted, leftEvent, withoutMember, withoutMembers } from "../steps/leaving.ts";

/**
 * The run without a member, or without a candidate.
 *
 * @param error why, where it did not leave voluntarily
 */
export function lose(state: RunState, name: string, error: string | undefined, now: number): Transition {
  if (!state.members.has(name)) {
    const left = leftEvent(name, state.members.size, error);
    return reportAnd(left, stay(withoutCandidate(state, name)));
  }
  if (state.stage.kind === "ended") {
    const members = new Map(state.members);
    members.delete(name);
    return stay({ ...state, members });
  }
  return andThen(withoutMember(state, name, error), (state) => continueWithout(state, name, now));
}

/**
 * Continues when all hashes are there. A member in the minority is removed: it joins again, and gets the others' state.
 */
export function compare(state: RunState, now: number): Transition {
  const [odd] = minorityOf(state);
  if (odd === undefined) return endWhenHashed(state, now);
  return lose(
    state,
    odd,
    `its state after step ${state.step} is not that of the majority, which is transferred to it`,
    now,
  );
}

/** Lets members that want to leave go, as far as that loses nothing. In a run that is to end all stay until then. */
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

/** All want to leave: an open step may end first, then an unsaved state is saved. */
function desert(state: RunState, now: number): Transition {
  const ending = { ...state, endingSince: state.endingSince ?? now };
  return ending.stage.kind === "waiting" ? settled(ending) : stay(ending);
}

function continueWithout(state: RunState, lost: string, now: number): Transition {
  const { stage } = state;
  if (state.members.size === 0) return waitForMembers(state);
  switch (stage.kind) {
    case "computing":
    case "reducing":
      return stage.round ? continueRound(state, stage, stage.round, lost, now) : reshare(state, stage, lost);
    case "committing":
      return closeStep(state, now);
    case "evaluating": {
      const orphans = runsOf(stage.losses, stage.ranges[lost] ?? []);
      const ranges = withShares(state, stage.ranges, orphans, stage.losses);
      return enter(state, { ...stage, ranges });
    }
    case "saving":
      return stage.writer === lost
        ? settled({ ...state, duties: ["save", ...state.duties] })
        : copied(state, lost);
    case "writing":
      return state.writing ? stay(state) : settled({ ...state, duties: withSave(state.duties) });
    case "hashing": {
      const hashes = new Map(stage.hashes);
      hashes.delete(lost);
      return compare({ ...state, stage: { ...stage, hashes } }, now);
    }
    case "pinning":
      return stage.donor === lost ? settledOpen(state) : stay(state);
    case "settled":
    case "waiting":
    case "gathering":
    case "admitting":
    case "ended":
      return stay(state);
  }
}

/** No member is left. A commit stays: a member that comes back may have applied it. An open step is opened again. */
function waitForMembers(state: RunState): Transition {
  const { stage, duties } = state;
  if (stage.kind === "evaluating") return settled({ ...state, duties: ["evaluate", ...duties] });
  if (stage.kind === "hashing" && !stage.isLast) {
    return settled({ ...state, duties: ["compare", ...duties] });
  }
  if (stage.kind === "saving" || stage.kind === "writing") {
    return settled({ ...state, duties: withSave(duties) });
  }
  if (stage.kind === "committing") {
    return reportAnd({ kind: "waiting", reason: reasonToWait(state)! }, stay(state));
  }
  return withoutMembers(state);
}

/** Keeps the sums that the coordinator or live members have; the remaining members compute what is missing. */
function reshare(state: RunState, stage: Stage & StepInProgress, lost: string): Transition {
  const sums = stage.sums.filter(({ member, pulled }) => member !== lost || pulled);
  const orphans = (stage.ranges[lost] ?? []).filter(([lo, hi]) =>
    !sums.some((sum) => sum.lo <= lo && hi <= sum.hi)
  );
  const reports = stage.reports.map((report, i) =>
    orphans.some(([lo, hi]) => lo <= i && i < hi) ? undefined : report
  );
  const ranges = withShares(state, stage.ranges, orphans, reports);
  const kind = orphans.length > 0 ? "computing" : stage.kind as "computing" | "reducing";
  const open: StepInProgress = { ...stage, ranges, sums, reports };
  return andThen(withSums(state, kind, sums), (state) => enter(state, { ...open, kind }));
}

/** Lets the reducers continue with these sums: all of them, or those that are left until others come. */
function withSums(
  state: RunState,
  kind: "computing" | "reducing",
  sums: StepInProgress["sums"],
): Transition {
  return { state, actions: [kind === "reducing" ? { do: "reduce" } : { do: "reconfigure", sums }] };
}

/**
 * Local steps can't be shared out: the round continues without those of the lost member, unless the coordinator has their sum. A sum
 * over fewer members is computed again, for which members that were lost before can't be asked.
 */
function continueRound(
  state: RunState,
  stage: Stage & { kind: "computing" | "reducing" },
  round: Round,
  lost: string,
  now: number,
): Transition {
  const { ranges: { [lost]: leaves = [], ...ranges } } = stage;
  const isKept = leaves.length === 0 || stage.sums.some(({ member, pulled }) => member === lost && pulled);
  if (isKept) {
    return andThen(withSums(state, stage.kind, stage.sums), (state) => enter(state, { ...stage, ranges }));
  }
  const sums = stage.sums.filter(({ member }) => state.members.has(member));
  const reports = stage.reports.map((report, leaf) =>
    sums.some(({ lo }) => lo === leaf) ? report : undefined
  );
  const gone = new Set([lost, ...stage.sums.map(({ member }) => member)]);
  const steps = [state.step + 1, state.step + round.localSteps] as const;
  let left = reduceWhenComputed(state, { ...restart(state, stage), ranges, sums, reports }, now);
  for (const member of gone) {
    if (state.members.has(member)) continue;
    left = reportAnd({ kind: "dropped", member, steps, microBatches: round.shares[member] }, left);
  }
  return left;
}

/** The ranges of the remaining members, with shares of the orphaned ones. */
function withShares(
  { members }: RunState,
  ranges: Ranges,
  orphans: readonly Range[],
  results: readonly unknown[],
): Ranges {
  const names = [...members.keys()];
  const shares = shareOut(orphans, new Map(names.map((name) => [name, lacking(results, ranges[name])])));
  return Object.fromEntries(names.map((name) => [name, [...(ranges[name] ?? []), ...(shares[name] ?? [])]]));
}

/** The subranges that have no result. */
function runsOf(results: readonly unknown[], ranges: readonly Range[]): Range[] {
  const runs: [number, number][] = [];
  for (const [lo, hi] of ranges) {
    for (let i = lo; i < hi; i++) {
      if (results[i] !== undefined) continue;
      const last = runs.at(-1);
      if (last?.[1] === i) last[1]++;
      else runs.push([i, i + 1]);
    }
  }
  return runs;
}
