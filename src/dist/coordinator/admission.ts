/**
 * Joins: a worker is admitted at once before training begins, becomes a candidate afterwards, or is rejected. Pure functions.
 *
 * @module
 */

import { type Reason, refusalFor, refusalReasons } from "./compatibility.ts";
import { admit, isWaitingForWorkers, reasonToWait } from "../steps/between_steps.ts";
import type { MembershipEvent } from "../state/events.ts";
import type { Participant } from "../state/participants.ts";
import { type Action, committedStep, type RunState, type Transition } from "../state/run_state.ts";
import { closeStep } from "../steps/step.ts";
import {
  andThen,
  enter,
  settled,
  settledOpen,
  stay,
  withCandidate,
  withMember,
} from "../state/transitions.ts";

type Join = MembershipEvent & { kind: "join" };

/** A member whose last message is at most this many heartbeats old is alive: its name is taken. */
const LIVELY_HEARTBEATS = 2;

/** Answers a join. */
export function welcomeOrRefuse(state: RunState, event: Join, now: number): Transition {
  const { member: name, request: { nonce } } = event;
  const present = state.members.get(name) ?? state.candidates.get(name);
  if (present?.nonce === nonce) {
    return { state: heardAgain(state, event, now), actions: [{ do: "welcome", member: name }] };
  }
  const reasons = reasonsToRefuse(state, event, present, now);
  if (reasons.length > 0) {
    const refusal = refusalFor(reasons);
    const refused = { kind: "refused", member: name, reasons: refusal.reasons } as const;
    return { state, actions: [refusal, { do: "report", event: refused }] };
  }
  // Perhaps the process of that name is dead, which is not detected yet. Without an answer the newcomer asks again.
  if (present) return stay(state);
  const actions: Action[] = [{ do: "welcome", member: name }, ...otherNumerics(state, event)];
  return andThen({ state, actions }, (state) => take(state, event, now));
}

/** Reports that numerics are mixed: the result now depends on which worker computes what. */
function otherNumerics({ credentials }: RunState, { member, request: { identity } }: Join): Action[] {
  const runsNumerics = credentials?.identity.numericsFingerprint, numerics = identity.numericsFingerprint;
  if (runsNumerics === undefined || runsNumerics === numerics) return [];
  return [{ do: "report", event: { kind: "mixed", member, numerics, runsNumerics } }];
}

function reasonsToRefuse(
  state: RunState,
  { member: name, request, step, term }: Join,
  present: Participant | undefined,
  now: number,
): Reason[] {
  const { plan, credentials, stage, generation } = state;
  if (stage.kind === "ended") return [{ text: "members: the run has ended", mayPass: false }];
  const hasBegun = generation > 0;
  const last = committedStep(state);
  const reasons = refusalReasons(
    {
      id: plan.id,
      configHash: plan.configHash,
      mixed: plan.mixed,
      ...credentials,
      stateHash: hasBegun ? undefined : credentials?.stateHash ?? plan.startHash,
    },
    request,
    hasBegun
      ? { run: Math.max(last, step), candidate: Math.max(last, step) }
      : { run: last, candidate: step },
  );
  // One that was a member before may have applied a commit of an earlier coordinator that no other member got.
  if (hasBegun && term === 0 && step > last) {
    reasons.push({ text: `step: the run has ${last}, you have ${step}`, mayPass: true });
  }
  if (present && now - present.heardAt < LIVELY_HEARTBEATS * plan.heartbeatSeconds) {
    reasons.push({
      text: `name: there is a member ${name} already; another machine needs another name: --machine.name`,
      mayPass: true, // a process that is dead still has its name for a while
    });
  }
  return reasons;
}

function take(state: RunState, event: Join, now: number): Transition {
  const { identity, configHash, stateHash } = event.request;
  const newcomer = participantOf(state, event, now);
  if (state.generation === 0) {
    const credentials = state.credentials ?? { identity, configHash, stateHash };
    const admitted = admit({ ...state, credentials }, newcomer, now);
    return andThen(admitted, startWhenReady);
  }
  if (hasTheState(state, newcomer)) return takeBack(state, newcomer, now);
  const joined = withCandidate(state, { ...newcomer, ready: false, misses: 0 });
  return isWaitingForWorkers(state) ? settledOpen(joined) : stay(joined);
}

/** A newcomer as the coordinator sees it. */
export function participantOf(
  state: RunState,
  { member: name, step, isNear, request: { nonce, atHome, device } }: Join,
  now: number,
): Participant {
  const joinedGeneration = state.generation;
  return {
    name,
    nonce,
    atHome,
    isNear,
    device,
    joinedGeneration,
    step,
    phase: "joining",
    progress: 0,
    heardAt: now,
    progressAt: now,
  };
}

/** No member is left, and one comes back that was a member at the last commit, and has applied it or can do so. */
function hasTheState(state: RunState, { nonce, step }: Participant): boolean {
  if (state.members.size > 0 || !state.recentlyLost.has(nonce)) return false;
  return step === state.step || step === committedStep(state);
}

function takeBack(state: RunState, newcomer: Participant, now: number): Transition {
  return andThen(admit(state, newcomer, now), (state) => {
    if (state.stage.kind !== "committing") return settled(state);
    return andThen(enter(state, state.stage), (state) => closeStep(state, now));
  });
}

function startWhenReady(state: RunState): Transition {
  const reason = reasonToWait(state);
  if (reason) return { state, actions: [{ do: "report", event: { kind: "waiting", reason } }] };
  return settled({ ...state, generation: 1 });
}

/** Joins are repeated; one that can't open others' memory after all joins without its own. */
function heardAgain(state: RunState, { member: name, isNear }: Join, now: number): RunState {
  const member = state.members.get(name);
  if (member) return withMember(state, { ...member, isNear, heardAt: now });
  const candidate = state.candidates.get(name)!;
  return withCandidate(state, { ...candidate, isNear, heardAt: now });
}
