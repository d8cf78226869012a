/**
 * How a run goes on without a member: the others get its work within the same step. Pure functions.
 *
 * @module
 */

import { proceed, reasonToWait, settle } from "./boundary.ts";
import { codecOf } from "./codecs/codecs.ts";
import type { Range, Round } from "./messages.ts";
import { anew } from "./reducers.ts";
import { lacking } from "./orders.ts";
import type { Ranges, RunState, Stage, StepInProgress, Transition } from "./run_state.ts";
import { copied, withoutWriter, withSave } from "./saving.ts";
import { shareOut } from "./sharing.ts";
import { averageWhenComputed, closeStep, endWhenHashed, minorityOf } from "./stages.ts";
import { andThen, enter, reportAnd, stay, withCandidate, withoutCandidate } from "./transitions.ts";

/**
 * The run without a member, or without a candidate.
 *
 * @param error why, where it did not leave by itself
 */
export function lose(state: RunState, name: string, error: string | undefined, now: number): Transition {
  const members = new Map(state.members);
  const member = members.get(name);
  members.delete(name);
  const event = { kind: "left", member: name, members: members.size, ...(error ? { error } : {}) } as const;
  if (!member) return reportAnd(event, stay(withoutCandidate(state, name)));
  if (state.stage.kind === "ended") return stay({ ...state, members });
  const left: RunState = withoutDonor({
    ...withoutWriter(state, name),
    members,
    generation: state.generation + (state.generation > 0 ? 1 : 0),
    former: new Set(state.former).add(member.nonce),
  }, name);
  const next = goOn(left, name, now);
  if (state.generation === 0 || !codecOf(state.plan.codec).hasFeedback) return reportAnd(event, next);
  const dropped = { kind: "residualsDropped", holder: name, reason: "it left" } as const;
  return reportAnd(event, reportAnd(dropped, next));
}

/**
 * Goes on when all hashes are there. Who is in the minority is put out: it joins again, and takes over the others' state.
 */
export function compare(state: RunState, now: number): Transition {
  const [odd] = minorityOf(state);
  if (odd === undefined) return endWhenHashed(state, now);
  return lose(
    state,
    odd,
    `its state after step ${state.step} is not that of the majority; it gets that one`,
    now,
  );
}

/** Candidates that took over the state of a member that is lost need another one. */
function withoutDonor(state: RunState, donor: string): RunState {
  let next = state;
  for (const candidate of state.candidates.values()) {
    if (candidate.source?.donor !== donor || candidate.ready) continue;
    next = withCandidate(next, { ...candidate, source: undefined });
  }
  return next;
}

function goOn(state: RunState, lost: string, now: number): Transition {
  const { stage } = state;
  if (state.members.size === 0) return waitForSomebody(state, now);
  switch (stage.kind) {
    case "computing":
    case "averaging":
      return stage.round ? goOnWithRound(state, stage, stage.round, lost, now) : reshare(state, stage, lost);
    case "committing":
      return closeStep(state, now);
    case "evaluating": {
      const orphans = runsOf(stage.losses, stage.ranges[lost] ?? []);
      const ranges = withShares(state, stage.ranges, orphans, stage.losses);
      return enter(state, { ...stage, ranges });
    }
    case "saving":
      return stage.writer === lost
        ? proceed({ ...state, duties: ["save", ...state.duties] }, now)
        : copied(state, lost, now);
    case "writing":
      return state.writing ? stay(state) : proceed({ ...state, duties: withSave(state.duties) }, now);
    case "hashing": {
      const hashes = new Map(stage.hashes);
      hashes.delete(lost);
      return compare({ ...state, stage: { ...stage, hashes } }, now);
    }
    case "pinning":
      return stage.donor === lost ? settle(state, now) : stay(state);
    case "waiting":
    case "gathering":
    case "admitting":
    case "ended":
      return stay(state);
  }
}

/** Nobody is left. A commit stays: who comes back may have carried it out. An open step is opened anew. */
function waitForSomebody(state: RunState, now: number): Transition {
  const { stage, duties } = state;
  if (stage.kind === "evaluating") return proceed({ ...state, duties: ["evaluate", ...duties] }, now);
  if (stage.kind === "hashing" && !stage.isLast) {
    return proceed({ ...state, duties: ["compare", ...duties] }, now);
  }
  if (stage.kind === "saving" || stage.kind === "writing") {
    return proceed({ ...state, duties: withSave(duties) }, now);
  }
  if (stage.kind === "committing") {
    return reportAnd({ kind: "waiting", reason: reasonToWait(state)! }, stay(state));
  }
  // The first member set the standard for the others; with nobody there, the next one sets it.
  return state.generation === 0 ? stay({ ...state, credentials: undefined }) : proceed(state, now);
}

/** Sums that the coordinator has are kept, as are those of living members; the others compute what is missing. */
function reshare(state: RunState, stage: Stage & StepInProgress, lost: string): Transition {
  const sums = stage.sums.filter(({ member, pulled }) => member !== lost || pulled);
  const orphans = (stage.ranges[lost] ?? []).filter(([lo, hi]) =>
    !sums.some((sum) => sum.lo <= lo && hi <= sum.hi)
  );
  const reports = stage.reports.map((report, i) =>
    orphans.some(([lo, hi]) => lo <= i && i < hi) ? undefined : report
  );
  const ranges = withShares(state, stage.ranges, orphans, reports);
  const kind = orphans.length > 0 ? "computing" : stage.kind as "computing" | "averaging";
  const open: StepInProgress = { ...stage, ranges, sums, reports };
  return andThen(withSums(state, kind, sums), (state) => enter(state, { ...open, kind }));
}

/** Lets those who average go on with these sums: with all that there are, or with those that are left until others come. */
function withSums(
  state: RunState,
  kind: "computing" | "averaging",
  sums: StepInProgress["sums"],
): Transition {
  return { state, actions: [kind === "averaging" ? { do: "average" } : { do: "reform", sums }] };
}

/**
 * Local steps can't be shared out: the round goes on without those of the lost member, unless the coordinator has their sum. A sum
 * over fewer members is made anew, for which those who were lost before can't be asked again.
 */
function goOnWithRound(
  state: RunState,
  stage: Stage & { kind: "computing" | "averaging" },
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
  let left = averageWhenComputed(state, { ...anew(state, stage), ranges, sums, reports }, now);
  for (const member of gone) {
    if (state.members.has(member)) continue;
    left = reportAnd({ kind: "dropped", member, steps, microBatches: round.shares[member] }, left);
  }
  return left;
}

/** The ranges of those who are left, with shares of what is orphaned. */
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

/** The parts of ranges that have no result, as ranges. */
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
