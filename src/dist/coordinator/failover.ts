/**
 * Failover: a new coordinator learns the run's step from the workers, as they join again. A commit is final once any of them has
 * applied it, so the highest step wins; the workers that have its state are the members, all others get it by state transfer. A step
 * that no worker has applied is opened again. Pure functions.
 *
 * @module
 */

import { refusalFor, refusalReasons } from "./compatibility.ts";
import { reasonToWait } from "../steps/between_steps.ts";
import type { MembershipEvent } from "../state/events.ts";
import type { RunRecord } from "../replica/plan.ts";
import { onRecord, type RunState, type Stage, type Transition } from "../state/run_state.ts";
import { dutiesOf } from "../steps/step.ts";
import { andThen, endRun, reportAnd, settled, stay, withMember } from "../state/transitions.ts";
import { participantOf } from "./admission.ts";

type Join = MembershipEvent & { kind: "join" };
type Gathering = Stage & { kind: "gathering" };

/** Heartbeats within which live workers that can answer have joined again. */
export const GATHERING_HEARTBEATS = 5;

/**
 * The initial state of a coordinator that takes over a run.
 *
 * @param state the initial state of a new run
 * @param takeOver members that the run had, and why it can't continue where none of them is left
 * @param now seconds
 */
export function gathering(
  state: RunState,
  { expected, missing }: { expected: number; missing?: string },
  now: number,
): RunState {
  const stage: Gathering = { kind: "gathering", expected, missing, alive: new Set(), arrivals: new Map() };
  return { ...state, stage, stageSince: now };
}

/** What an event means while workers gather. */
export function gather(state: RunState, stage: Gathering, event: MembershipEvent, now: number): Transition {
  switch (event.kind) {
    case "alive": {
      const alive = new Set(stage.alive).add(event.name);
      return stay({ ...above(state, event.term), stage: { ...stage, alive } });
    }
    case "reducer":
      return stay(above(state, event.term));
    case "ended":
      return stay({ ...state, stage: withoutEnded(stage, event) });
    case "join": {
      const { id, configHash, mixed } = state.plan;
      const reasons = refusalReasons({ id, configHash, mixed }, event.request, {
        run: event.step,
        candidate: event.step,
      });
      if (reasons.length > 0) return { state, actions: [refusalFor(reasons)] };
      const arrivals = new Map(stage.arrivals).set(event.member, event);
      const next = { ...above(state, event.term), stage: { ...stage, arrivals } };
      return andThen({ state: next, actions: [{ do: "postpone" }] }, (state) => decide(state, now));
    }
    case "tick":
      return decide(state, now);
    case "recalled": {
      const { step, record } = event;
      const survivors = survivorsOf(state, stage);
      const next = { ...state, step, ...onRecord(record) };
      return survivors.length > 0 ? adopt(next, survivors, record, now) : begin(next, now);
    }
    case "interrupt":
      return stay({ ...state, interrupted: true });
    case "deaf":
      return stay({ ...state, deafAt: now, ...(event.isCutOff ? { cutOffAt: now } : {}) });
    default:
      return stay(state);
  }
}

/** A process that has ended is not waited for. Where its name has joined by another process, that one stays. */
function withoutEnded(
  stage: Gathering,
  { name, nonce }: MembershipEvent & { kind: "ended" },
): Gathering {
  const arrival = stage.arrivals.get(name);
  if (arrival && arrival.request.nonce !== nonce) return stage;
  const alive = new Set(stage.alive), arrivals = new Map(stage.arrivals);
  alive.delete(name);
  arrivals.delete(name);
  return { ...stage, alive, arrivals };
}

/** Terms rise: this coordinator's is above all terms seen. */
function above(state: RunState, term: number): RunState {
  return { ...state, term: Math.max(state.term, term + 1) };
}

/** Continues when all expected workers are there, or when no other is likely to come. */
function decide(state: RunState, now: number): Transition {
  const { stage, stageSince, plan } = state;
  if (stage.kind !== "gathering") return stay(state);
  const survivors = survivorsOf(state, stage);
  const waited = now - Math.max(stageSince, state.deafAt ?? -Infinity);
  const isComplete = stage.expected > 0 && survivors.length >= stage.expected;
  // A worker that is alive and has not joined yet is in the middle of a micro-batch, perhaps a long one.
  // A worker that may have had no connection either may come later.
  const isQuiet = state.cutOffAt === undefined && waited >= GATHERING_HEARTBEATS * plan.heartbeatSeconds &&
    [...stage.alive].every((name) => stage.arrivals.has(name));
  if (!isComplete && !isQuiet && waited < plan.silenceSeconds) return stay(state);
  if (survivors.length === 0 && stage.missing !== undefined) return endRun(state, now, stage.missing);
  const step = Math.max(plan.startStep, ...survivors.map((survivor) => survivor.step));
  return { state, actions: [{ do: "recall", step }] };
}

/** Workers that were members before. None where all have an older state than the checkpoint that the plan starts from. */
function survivorsOf({ plan }: RunState, { arrivals }: Gathering): Join[] {
  return [...arrivals.values()].filter(({ generation, step }) => generation > 0 && step >= plan.startStep);
}

/** No member is left, or the run had not begun: it begins as a new one does, at the plan's step. */
function begin(state: RunState, now: number): Transition {
  const waiting: RunState = { ...state, stage: { kind: "waiting" } };
  if (state.interrupted) return endRun(waiting, now);
  const reason = `no worker has a newer state than that of step ${state.step}, ${reasonToWait(waiting)}`;
  return reportAnd({ kind: "waiting", reason }, stay(waiting));
}

/** Continues with the workers that have the state of the highest step. The others become candidates when they ask again. */
function adopt(state: RunState, survivors: readonly Join[], record: RunRecord, now: number): Transition {
  const { step, term } = state;
  const holders = survivors.filter((survivor) => survivor.step === step);
  const members = majorityOf(holders);
  if (members.length === 0) {
    const names = holders.map(({ member, request }) => `${member}: ${request.stateHash}`).join("; ");
    return endRun(state, now, `the replicas differ after step ${step}; hashes of their states: ${names}`);
  }
  const { identity, configHash, stateHash } = members[0].request;
  const generation = 1 + Math.max(...survivors.map((survivor) => survivor.generation));
  const isDone = (duty: string) => duty === "evaluate" && record.evaluation?.step === step;
  const duties = dutiesOf(state, step).filter((duty) => !isDone(duty));
  let next: RunState = { ...state, generation, duties, credentials: { identity, configHash, stateHash } };
  for (const each of members) next = withMember(next, participantOf(next, each, now));
  const names = members.map(({ member }) => member);
  return reportAnd({ kind: "took over", step, term, members: names }, settled(next));
}

/** The workers whose state is that of a strict majority. */
function majorityOf(holders: readonly Join[]): Join[] {
  const alike = holders.map((one) =>
    holders.filter(({ request }) => request.stateHash === one.request.stateHash)
  );
  return alike.find((group) => 2 * group.length > holders.length) ?? [];
}
