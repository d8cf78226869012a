/**
 * What happens between two steps: duties, newcomers, waiting for workers, and the opening of the next step. Pure
 * functions.
 *
 * @module
 */

import { disband, isDeserted, isUnsaved } from "./leaving.ts";
import { ownersOf, reportMoved } from "./reducer_set.ts";
import { hasOwnMoments, localStepsAfter } from "../replica/rounds.ts";
import type { Candidate, Participant } from "../state/participants.ts";
import { committedStep, type RunState, type StepInProgress, type Transition } from "../state/run_state.ts";
import { withSave } from "./checkpointing.ts";
import { samplerOf } from "./sampling.ts";
import { cut, evenCut, trusted } from "./load_balancing.ts";
import {
  andThen,
  enter,
  isOver,
  reportAnd,
  settled,
  settledOpen,
  stay,
  withCandidate,
  withMember,
  withoutCandidate,
} from "../state/transitions.ts";
import { type Range, subtrees } from "../vectors/tree.ts";
import { mapValues } from "../../records.ts";
import { checksumOfNames } from "../protocol/checksums.ts";
import { COORDINATOR } from "../protocol/transport.ts";

/** A boundary waits for a candidate that has been too late this many times. */
const PATIENT_AFTER = 2;

/**
 * The next stage after a step, or a duty after it, is done: the duties of the boundary in turn, then newcomers, then the next step.
 * Only this function decides it: stages only report that they are `settled`.
 */
export function whatComesNext(state: RunState, now: number): Transition {
  if (state.members.size === 0) return handOut(state);
  if (state.stage.kind === "settled" && state.stage.isOpen) return serveCandidates(state, now);
  const [duty, ...duties] = state.duties;
  const next = { ...state, duties };
  if (duty === "evaluate") return evaluate(next);
  if (duty === "save") return save(state, next);
  const isLast = isOver(state), isLeft = isDeserted(state);
  if ((isLast || isLeft) && isUnsaved(state)) return settled({ ...next, duties: withSave(duties) });
  if ((isLast || isLeft) && state.writing) return enter(next, { kind: "writing" });
  if (duty === "compare" || isLast) {
    return enter(next, { ...comparison(), isLast: duty !== "compare" });
  }
  if (isLeft) return disband(next);
  return andThen(admitReady(next, now), (admitted) => settledOpen(countMisses(admitted)));
}

function evaluate(state: RunState): Transition {
  const { microBatches } = state.plan.evaluation;
  const losses = Array.from({ length: microBatches }, () => undefined);
  const ranges = mapValues(evenCut(state, microBatches), (range) => [range]);
  const sampler = samplerOf(state);
  const sampling = sampler && { member: sampler.member, step: state.step };
  return enter({ ...state, sampling }, { kind: "evaluating", ranges, losses, sampler });
}

/** Begins a checkpoint once the previous one is complete and the states were found equal; the duty stays until then. */
function save(state: RunState, next: RunState): Transition {
  if (state.writing) return enter(state, { kind: "writing" });
  if (state.members.size > 1 && state.agreed?.step !== state.step) return enter(state, comparison());
  const members = [...state.members.values()];
  const writer = members.find((member) => member.atHome) ?? members[0];
  const copying = hasOwnMoments(state.plan, state.step) ? state.members.keys() : [writer.name];
  return enter(next, { kind: "saving", writer: writer.name, copying: new Set(copying) });
}

function comparison() {
  return { kind: "hashing", hashes: new Map(), isLast: false } as const;
}

/** Serves the candidates of this boundary, then opens the next step. */
function serveCandidates(state: RunState, now: number): Transition {
  const { members, plan } = state;
  const candidates = [...state.candidates.values()];
  if (candidates.some(({ source }) => !source)) {
    return enter(state, { kind: "pinning", donor: donorOf(state) });
  }
  if (candidates.some((candidate) => isWaitedFor(state, candidate))) {
    // At most one step, or one heartbeat where steps are shorter than that.
    return enter(state, {
      kind: "admitting",
      until: now + Math.max(state.stepSeconds, plan.heartbeatSeconds),
    });
  }
  if (members.size < plan.minWorkers) return wait(state);
  return openStep(state, now);
}

/** No member is left. If the run's folder has the present state, candidates get it from there. */
function handOut(state: RunState): Transition {
  const waiting = wait(state);
  return canHandOut(state) ? andThen(waiting, (state) => withSource(state, COORDINATOR)) : waiting;
}

/** Whether the coordinator can hand out the present state. */
export function canHandOut({ handsOut, savedStep, step }: RunState): boolean {
  return handsOut && savedStep === step;
}

/** The donor has pinned its state: it is transferred to the candidates while training continues. */
export function pinned(state: RunState, donor: string): Transition {
  if (state.stage.kind !== "pinning" || state.stage.donor !== donor) return stay(state);
  return andThen(withSource(state, donor), settledOpen);
}

/** Tells the candidates that have no donor yet where to get the state. */
function withSource(state: RunState, donor: string): Transition {
  const source = { donor, step: state.step };
  let told: Transition = stay(state);
  for (const candidate of state.candidates.values()) {
    if (candidate.source) continue;
    told = andThen(told, (state) => ({
      state: withCandidate(state, { ...candidate, source, ready: false }),
      actions: [
        { do: "report", event: { kind: "joining", member: candidate.name, ...source } },
        { do: "tell", candidate: candidate.name },
      ],
    }));
  }
  return told;
}

/** A candidate has applied a step, or restored the pinned state: this boundary may be waiting for it. */
export function caughtUp(state: RunState, now: number): Transition {
  if (state.stage.kind !== "admitting" && !isWaitingForWorkers(state)) return stay(state);
  const admitted = admitReady(state, now);
  if (admitted.actions.length === 0) return stay(state);
  if ([...admitted.state.candidates.values()].some((candidate) => isWaitedFor(state, candidate))) {
    return admitted;
  }
  return andThen(admitted, settledOpen);
}

/** The boundary has waited long enough. Candidates that are still behind get a newer state. */
export function giveUpWaiting(state: RunState): Transition {
  let next = state;
  for (const candidate of state.candidates.values()) {
    if (isWaitedFor(state, candidate)) {
      next = withCandidate(next, { ...candidate, source: undefined, ready: false, misses: 1 });
    }
  }
  return settledOpen(next);
}

/** Makes a candidate a member. */
export function admit(state: RunState, participant: Participant, now: number): Transition {
  const { name, nonce, atHome, isNear, device, joinedGeneration, step, phase, progress, goneSince } =
    participant;
  const member: Participant = {
    name,
    nonce,
    atHome,
    isNear,
    device,
    joinedGeneration,
    step,
    phase,
    progress,
    goneSince,
    heardAt: now,
    progressAt: now,
  };
  const generation = state.generation === 0 ? 0 : state.generation + 1; // counted from the first step on
  const admitted = withMember({ ...withoutCandidate(state, name), generation }, member);
  const event = { kind: "joined", member: name, isNear, members: admitted.members.size } as const;
  return reportAnd(event, stay(admitted));
}

/** Whether the run has begun and there are too few workers to continue. */
export function isWaitingForWorkers({ stage, generation }: RunState): boolean {
  return stage.kind === "waiting" && generation > 0;
}

/** Why no step can open yet, as text; undefined where one can. */
export function reasonToWait(state: RunState): string | undefined {
  const { members, plan, generation } = state;
  const wanted = generation === 0 ? Math.max(plan.startWorkers, plan.minWorkers) : plan.minWorkers;
  if (members.size >= wanted) return undefined;
  const after = generation === 0 ? "" : `step ${committedStep(state)} is done, `;
  return `${after}waiting for workers: ${members.size} of ${wanted} are here`;
}

function wait(state: RunState): Transition {
  const waiting: RunState = { ...state, stage: { kind: "waiting" } };
  return reportAnd(
    { kind: "waiting", reason: reasonToWait(waiting) ?? "waiting for workers" },
    stay(waiting),
  );
}

function admitReady(state: RunState, now: number): Transition {
  let admitted = stay(state);
  for (const candidate of state.candidates.values()) {
    if (!candidate.ready || candidate.step !== state.step) continue;
    admitted = andThen(admitted, (state) => admit(state, candidate, now));
  }
  return admitted;
}

/** Counts a miss for each candidate that has the pinned state and is behind at this boundary. */
function countMisses(state: RunState): RunState {
  let next = state;
  for (const candidate of state.candidates.values()) {
    if (candidate.ready) next = withCandidate(next, { ...candidate, misses: candidate.misses + 1 });
  }
  return next;
}

function isWaitedFor({ step }: RunState, { ready, misses, step: at }: Candidate): boolean {
  return ready && misses >= PATIENT_AFTER && at < step;
}

/** Preferably not the member that writes the checkpoints, which is busy with that. */
function donorOf(state: RunState): string {
  const members = [...state.members.values()];
  return (members.find(({ atHome }) => !atHome) ?? members.at(-1)!).name;
}

function openStep(state: RunState, now: number): Transition {
  const { plan, generation } = state;
  const { microBatches } = plan;
  const reduction = { owners: ownersOf(state), done: new Map(), squares: new Map() };
  const members = checksumOfNames(state.members.keys());
  const opened = { openedAt: now, openedIn: generation, members };
  const begun = { kind: "computing", ...opened, sums: [], ...reduction } as const;
  const localSteps = localStepsAfter(plan, state.step);
  if (localSteps !== undefined) {
    const round = openRound(state, localSteps);
    const lastCut = round.round.shares;
    return reportMoved(state, enter({ ...state, lastCut }, { ...begun, ...round }));
  }
  const lastCut = cut(state);
  const ranges = mapValues(lastCut, ([lo, hi]) => subtrees(lo, hi, microBatches));
  const reports = Array.from({ length: microBatches }, () => undefined);
  const trusting = { ...state, members: trusted(state, lastCut), lastCut };
  return reportMoved(state, enter(trusting, { ...begun, ranges, reports }));
}

/** Equal shares, whatever the members' speeds: the result depends on who computes what, and must be reproducible. */
function openRound(
  state: RunState,
  localSteps: number,
): Required<Pick<StepInProgress, "round" | "ranges" | "reports">> {
  const shares = evenCut(state, state.plan.microBatches);
  const ranges: Record<string, Range[]> = {};
  const reports: undefined[] = [];
  for (const [member, [lo, hi]] of Object.entries(shares)) {
    const leaf = reports.length;
    ranges[member] = lo < hi ? [[leaf, leaf + 1]] : [];
    if (lo < hi) reports.push(undefined);
  }
  return { round: { localSteps, shares }, ranges, reports };
}
