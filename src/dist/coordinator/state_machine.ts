/**
 * The run's state machine as a pure function: (state, event, now) → (state, actions). It tracks heartbeats and passes each event to
 * the file that decides about it: `failover.ts` after another coordinator, `admission.ts` on joins, `steps/step.ts` on the step,
 * `steps/between_steps.ts` between steps, `presence.ts` and `failure_detector.ts` on lost members, `member_loss.ts` on how the others continue.
 *
 * @module
 */

import { RunError, TransientError } from "../../errors.ts";
import { canHandOut, caughtUp, giveUpWaiting, pinned, whatComesNext } from "../steps/between_steps.ts";
import { delivered, reasonLost, reasonSilent, reasonStuck, withPace } from "./failure_detector.ts";
import type { MembershipEvent } from "../state/events.ts";
import type { RunOutcome } from "../replica/plan.ts";
import { engage, loseReducer } from "../steps/reducer_set.ts";
import { compare, lose, release } from "./member_loss.ts";
import { heardOf, isAwaitedBack, withArrivals } from "../state/reconnection.ts";
import { committedStep, type RunState, type Transition } from "../state/run_state.ts";
import { measured } from "../steps/load_balancing.ts";
import { dropLateStep } from "../steps/leaving.ts";
import { collected, copied, keep, saved } from "../steps/checkpointing.ts";
import { sampled } from "../steps/sampling.ts";
import { closeStep, evaluated, hashed, isWanted, offer, pulled, reduced } from "../steps/step.ts";
import { gather } from "./failover.ts";
import { disconnected, ended, probed } from "./presence.ts";
import { totalTraffic, withTraffic } from "../state/traffic.ts";
import { isUsageDue, tellUsage } from "../state/usage.ts";
import {
  andThen,
  endForNow,
  endRun,
  settled,
  stay,
  withCandidate,
  withMember,
} from "../state/transitions.ts";
import { welcomeOrRefuse } from "./admission.ts";

/** Seconds that workers and reducers have to leave when the run has ended. */
export const LEAVE_SECONDS = 5;

/**
 * The new state after an event, and the actions that follow.
 *
 * @param now seconds on any clock that does not go back
 */
export function advance(state: RunState, event: MembershipEvent, now: number): Transition {
  const reaction = complete(react(state, event, now), now);
  const isEnd = state.stage.kind !== "ended" && reaction.state.stage.kind === "ended";
  const isDue = event.kind === "tick" && isUsageDue(reaction.state, now);
  const { state: next, actions } = isEnd || isDue
    ? andThen(reaction, (state) => tellUsage(state, now))
    : reaction;
  const stageSince = next.stage.kind === state.stage.kind ? state.stageSince : now;
  return { state: { ...next, stageSince }, actions };
}

/** Runs to completion: while the stage is settled, the next one begins. */
function complete(transition: Transition, now: number): Transition {
  let next = transition;
  while (next.state.stage.kind === "settled") next = andThen(next, (state) => whatComesNext(state, now));
  return next;
}

function react(state: RunState, event: MembershipEvent, now: number): Transition {
  if (state.stage.kind === "gathering") return gather(state, state.stage, event, now);
  if (event.kind === "reducer") return engage(state, event, now);
  if (event.kind === "leave" && state.reducers.has(event.member)) return leave(state, event, now);
  if (event.kind === "join") return welcomeOrRefuse(state, event, now);
  if (event.kind === "collected") return collected(state, event, now);
  if ("member" in event) {
    if (!isHere(state, event.member)) return stay(state);
    state = heard(state, event.member, now);
    if ("traffic" in event && event.traffic) state = withTraffic(state, event.member, event.traffic);
    const isResult = "step" in event && !["status", "restored", "saved", "sampled"].includes(event.kind);
    if (isResult && event.step !== openStep(state)) return stay(state);
    if (isResult && !state.members.has(event.member)) return stay(state);
  }
  switch (event.kind) {
    case "heard":
      return stay(withArrivals(state, event.at));
    case "alive":
    case "recalled":
      return stay(state);
    case "status":
      return status(state, event, now);
    case "offer": {
      const { member, lo, hi, reports, seconds } = event;
      const sum = { member, lo, hi };
      const sender = state.members.get(member)!;
      const isNew = isWanted(state, sum, reports);
      const next = delivered(state, isNew ? measured(sender, reports.length, seconds) : sender, now);
      return isNew ? offer(next, sum, reports, now) : stay(next);
    }
    case "evaluated":
      return evaluated(delivered(state, state.members.get(event.member)!, now), event.losses);
    case "sampled":
      return sampled(state, event);
    case "copied":
      return copied(state, event.member);
    case "saved":
      return saved(state, event, now);
    case "pinned":
      return pinned(state, event.member);
    case "restored":
      return restored(state, event, now);
    case "hashes":
      return compare(hashed(state, event.member, event.hashes), now);
    case "leave":
      return leave(state, event, now);
    case "probed":
      return probed(state, event, now);
    case "disconnected":
      return stay(disconnected(state, event.name, now));
    case "ended":
      return ended(state, event, now);
    case "pulled":
      return pulled(state, event.lo, event.hi);
    case "reduced": // from a reducer that did not know the new generation yet: it is told, and reports again
      return event.generation === state.generation
        ? reduced(withTravelTime(state, now), event, now)
        : stay(state);
    case "interrupt":
      return interrupt(state, now);
    case "hurry":
      return hurry(state, now);
    case "failed":
      return state.stage.kind === "ended" ? stay(state) : endRun(state, now, event.error);
    case "deaf":
      return forgive(state, event, now);
    case "tick":
      return tick(state, event, now);
  }
}

function isHere({ members, candidates }: RunState, name: string): boolean {
  return members.has(name) || candidates.has(name);
}

function heard(state: RunState, name: string, now: number): RunState {
  const member = state.members.get(name);
  if (member) return withMember(state, heardOf(state, member, now));
  return withCandidate(state, heardOf(state, state.candidates.get(name)!, now));
}

/** The step that results of members belong to now. */
export function openStep({ stage, step }: RunState): number {
  return ["computing", "reducing", "committing"].includes(stage.kind) ? step + 1 : step;
}

function status(state: RunState, event: MembershipEvent & { kind: "status" }, now: number): Transition {
  const { member: name, status: { phase, progress, isLeaving } } = event;
  const member = state.members.get(name);
  if (!member && isLeaving) return lose(state, name, undefined, now);
  if (!member) {
    const candidate = state.candidates.get(name)!;
    return caughtUp(withCandidate(state, { ...candidate, phase, progress, step: event.step }), now);
  }
  if (event.step > committedStep(state)) return stay(state); // no member can have completed a step that was not committed
  const next = event.step > member.step ? delivered(state, member, now) : state;
  const moved = phase !== member.phase || progress !== member.progress;
  const progressAt = moved ? now : member.progressAt;
  const step = Math.max(member.step, event.step);
  const told = { ...next.members.get(name)!, phase, progress, progressAt, step, isLeaving };
  const closed = complete(closeStep(withMember(next, told), now), now);
  return isLeaving ? andThen(closed, (state) => release(state, now)) : closed;
}

/** A candidate has restored the state that was pinned for it. */
function restored(state: RunState, event: MembershipEvent & { kind: "restored" }, now: number): Transition {
  const candidate = state.candidates.get(event.member);
  if (!candidate || candidate.ready || candidate.source?.step !== event.step) return stay(state);
  return caughtUp(withCandidate(state, { ...candidate, ready: true, step: event.step }), now);
}

/** A member, candidate or reducer leaves. */
function leave(
  state: RunState,
  { member: name, error }: MembershipEvent & { kind: "leave" },
  now: number,
): Transition {
  const left = state.reducers.has(name) ? loseReducer(state, name, error) : lose(state, name, error, now);
  return state.stage.kind === "ended" ? endWhenEmpty(left.state, now) : left;
}

/** The open step is finished first, so that nothing of it is lost. */
function interrupt(state: RunState, now: number): Transition {
  if (state.stage.kind === "ended") return stay(state);
  const interrupted: RunState = { ...state, interrupted: true, endingSince: state.endingSince ?? now };
  if (state.members.size === 0 || (state.stage.kind === "waiting" && state.generation === 0)) {
    return endRun(interrupted, now);
  }
  if (state.stage.kind === "waiting") return settled({ ...interrupted, duties: ["save"] });
  if (isBeforeSaving(state)) return stay({ ...interrupted, duties: ["save"] });
  return stay(interrupted);
}

/** The end is to be quick: neither a step nor a checkpoint in flight is waited for. */
function hurry(state: RunState, now: number): Transition {
  if (state.stage.kind === "ended") return stay(state);
  const ending: RunState = { ...state, interrupted: true, endingSince: -Infinity };
  return andThen(keep(ending), (state) => dropLateStep(state, now) ?? stay(state));
}

/** Whether the present duty comes before the checkpoint of its step, if one is due. */
function isBeforeSaving({ stage }: RunState): boolean {
  return stage.kind === "evaluating" || (stage.kind === "hashing" && !stage.isLast);
}

function tick(state: RunState, event: MembershipEvent & { kind: "tick" }, now: number): Transition {
  const { stage } = state;
  if (stage.kind === "ended") return endWhenEmpty(state, now);
  for (const reducer of state.reducers.values()) { // before members that seem to keep a stalled one waiting
    const reason = reasonSilent(state, reducer, now) ?? reasonStuck(state, reducer, now);
    if (reason) return loseReducer(state, reducer.name, reason);
  }
  for (const participant of [...state.members.values(), ...state.candidates.values()]) {
    const reason = reasonLost(state, participant, now, event.blockedSince);
    if (reason) return lose(state, participant.name, reason, now);
  }
  const dropped = dropLateStep(state, now);
  if (dropped) return dropped;
  if (stage.kind === "admitting" && now >= stage.until) return giveUpWaiting(state);
  if (isStateLost(state, now)) {
    const error = `all workers with the state of step ${state.step} are lost`;
    return endForNow(
      state,
      now,
      `${error}; the run can be resumed from its newest checkpoint, with --resume`,
    );
  }
  return stay(state);
}

/** Whether only workers with older states are left, and none that had the present state has come back. */
function isStateLost(state: RunState, now: number): boolean {
  const { members, candidates, generation, stageSince, plan } = state;
  return generation > 0 && members.size === 0 && candidates.size > 0 && !canHandOut(state) &&
    now - stageSince >= plan.silenceSeconds;
}

/** The all-reduce has ended: its duration counts for the pace. */
function withTravelTime(state: RunState, now: number): RunState {
  return state.stage.kind === "reducing" ? withPace(state, now) : state;
}

/** The clocks of all participants restart, except of those that are still expected to reconnect. */
function forgive(state: RunState, { isCutOff }: MembershipEvent & { kind: "deaf" }, now: number): Transition {
  const renew = <P extends { heardAt: number }>(all: ReadonlyMap<string, P>, clocks: Partial<P>) =>
    new Map([...all].map(([name, each]) => {
      const stays = !isCutOff && isAwaitedBack(state, each, now);
      return [name, stays ? each : { ...each, ...clocks }];
    }));
  const { members, candidates, reducers, stage } = state;
  const silence = { heardAt: now, goneSince: undefined, closedAt: undefined }, stall = { progressAt: now };
  return stay({
    ...state,
    deafAt: now,
    ...(isCutOff ? { cutOffAt: now } : {}),
    stage: stage.kind === "ended" ? { ...stage, since: now } : stage,
    members: renew(members, { ...silence, ...stall }),
    candidates: renew(candidates, { ...silence, ...stall }),
    reducers: renew(reducers, silence),
  });
}

/** A participant that has not left may not know yet that the run has ended, and is told when it asks. */
function endWhenEmpty(state: RunState, now: number): Transition {
  const { stage, members, candidates, reducers } = state;
  if (stage.kind !== "ended") return stay(state);
  const all = [...members.values(), ...candidates.values(), ...reducers.values()];
  const isAnyAwaited = all.some((each) => isAwaitedBack(state, each, now));
  const over = all.length === 0 || (!isAnyAwaited && now - stage.since >= LEAVE_SECONDS);
  return { state, actions: over ? [{ do: "end" }] : [] };
}

/**
 * How a run has ended.
 *
 * @param dropped messages that the coordinator dropped, by reason
 * @throws {RunError} where it has ended with an error
 */
export function outcomeOf(state: RunState, dropped: Record<string, number>): RunOutcome {
  if (state.stage.kind === "ended" && state.stage.error) {
    const { error, canResume } = state.stage;
    throw canResume ? new TransientError(error) : new RunError(error);
  }
  const { step, loss, valLoss, tokens, paramsHash } = state;
  const { staleOrders, malformedOrders, ...bytes } = totalTraffic(state);
  return {
    steps: step,
    loss,
    valLoss,
    tokens,
    ...bytes,
    paramsHash,
    dropped: {
      ...dropped,
      ...(staleOrders > 0 ? { "stale orders": staleOrders } : {}),
      ...(malformedOrders > 0 ? { "malformed orders": malformedOrders } : {}),
    },
    interrupted: state.interrupted && step < state.plan.steps,
  };
}
