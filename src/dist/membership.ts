/**
 * Membership as a pure function: (state, event, now) → (state, actions). It admits workers, follows their signs of life,
 * and decides who is lost; `stages.ts` has what a step consists of. The set of members is fixed once training starts: a member
 * that is lost, or leaves, ends the run.
 *
 * @module
 */

import { refusalReasons } from "./admission.ts";
import type { MembershipEvent } from "./membership_events.ts";
import { isAwaited, type Member, type RunState, type Transition } from "./run_state.ts";
import { averaged, closeStep, endRun, evaluated, hashed, offer, proceed, saved, stay } from "./stages.ts";

/** Seconds for which nobody may listen at a member's place: it is enough to connect again to a restarted server. */
export const GONE_SECONDS = 5;
/** Seconds that members have to leave when the run has ended. */
export const LEAVE_SECONDS = 5;
/** A member that lives but makes no progress is lost after so many times the silence allowed. */
const STALL_FACTOR = 10;

/**
 * The new state after an event, and what has to be done.
 *
 * @param now seconds on any clock that does not go back
 */
export function advance(state: RunState, event: MembershipEvent, now: number): Transition {
  const { state: next, actions } = react(state, event, now);
  const stageSince = next.stage.kind === state.stage.kind ? state.stageSince : now;
  return { state: { ...next, stageSince }, actions };
}

function react(state: RunState, event: MembershipEvent, now: number): Transition {
  if (event.kind === "join") return join(state, event, now);
  if ("member" in event) {
    const member = state.members.get(event.member);
    if (!member) return stay(state);
    state = withMember(state, { ...member, heardAt: now });
    if ("step" in event && event.kind !== "status" && event.step !== openStep(state)) return stay(state);
  }
  switch (event.kind) {
    case "heard":
      return stay(state);
    case "status":
      return closeStep(progress(state, event, now), now);
    case "offer": {
      const { member, lo, hi, reports } = event;
      return offer(state, { member, lo, hi }, reports, now);
    }
    case "evaluated":
      return evaluated(state, event.losses, now);
    case "saved":
      return saved(state, event.member, event.place, now);
    case "hashes":
      return hashed(state, event.member, event.hashes, now);
    case "leave":
      return leave(state, event.member, event.error, now);
    case "probed":
      return probed(state, event.name, event.there, now);
    case "averaged":
      return averaged(state, event.norm, now);
    case "interrupt":
      return interrupt(state, now);
    case "failed":
      return state.stage.kind === "ended" ? stay(state) : endRun(state, now, event.error);
    case "tick":
      return tick(state, now);
  }
}

/** The step that members' results belong to now. */
export function openStep({ stage, step }: RunState): number {
  return ["computing", "averaging", "committing"].includes(stage.kind) ? step + 1 : step;
}

function join(
  state: RunState,
  event: MembershipEvent & { kind: "join" },
  now: number,
): Transition {
  const { member: name, request } = event;
  const present = state.members.get(name);
  if (present?.nonce === request.nonce) {
    return { state: withMember(state, { ...present, heardAt: now }), actions: [{ do: "welcome" }] };
  }
  const reasons = refusalReasons(
    { configHash: state.plan.configHash, ...state.credentials },
    request,
    { run: state.step, candidate: event.step },
  );
  if (state.stage.kind !== "waiting") {
    const names = [...state.members.keys()].join(", ");
    reasons.push(`members: the run has begun with a fixed set of workers: ${names}`);
  } else if (present) reasons.push(`name: there is a member ${name} already`);
  if (reasons.length > 0) {
    return {
      state,
      actions: [{ do: "refuse", reasons }, {
        do: "report",
        event: { kind: "refused", member: name, reasons },
      }],
    };
  }
  return admit(state, event, now);
}

function admit(state: RunState, event: MembershipEvent & { kind: "join" }, now: number): Transition {
  const { member: name, request, step } = event;
  const { nonce, atHome, identity, configHash, stateHash } = request;
  const member: Member = {
    name,
    nonce,
    atHome,
    step,
    phase: "ready",
    progress: 0,
    heardAt: now,
    progressAt: now,
  };
  const admitted: RunState = {
    ...withMember(state, member),
    credentials: state.credentials ?? { identity, configHash, stateHash },
  };
  const started = startWhenReady(admitted, now);
  const joined = { kind: "joined", member: name, members: admitted.members.size } as const;
  return {
    state: started.state,
    actions: [{ do: "welcome" }, { do: "report", event: joined }, ...started.actions],
  };
}

function startWhenReady(state: RunState, now: number): Transition {
  const reason = reasonToWait(state);
  if (reason) return { state, actions: [{ do: "report", event: { kind: "waiting", reason } }] };
  return proceed({ ...state, generation: 1 }, now);
}

/** Why training can't start yet, in words; undefined where it can. */
export function reasonToWait({ members, plan }: RunState): string | undefined {
  if (members.size < plan.minWorkers) {
    return `waiting for workers: ${members.size} of ${plan.minWorkers} are here`;
  }
}

function progress(
  state: RunState,
  event: MembershipEvent & { kind: "status" },
  now: number,
): RunState {
  const member = state.members.get(event.member)!;
  const { phase, progress } = event.status;
  const moved = phase !== member.phase || progress !== member.progress;
  const progressAt = moved ? now : member.progressAt;
  return withMember(state, {
    ...member,
    phase,
    progress,
    progressAt,
    step: Math.max(member.step, event.step),
  });
}

function leave(state: RunState, name: string, error: string | undefined, now: number): Transition {
  const members = new Map(state.members);
  members.delete(name);
  const left: RunState = { ...state, members };
  if (left.stage.kind === "ended") return endWhenEmpty(left, now);
  const { state: next, actions } = afterLeaving(left, name, error, now);
  return {
    state: next,
    actions: [
      { do: "report", event: { kind: "left", member: name, ...(error ? { error } : {}) } },
      ...actions,
    ],
  };
}

function afterLeaving(left: RunState, name: string, error: string | undefined, now: number): Transition {
  if (left.stage.kind === "waiting" && !error) {
    // The first member set the standard for the others; with nobody there, the next one sets it.
    return stay(left.members.size > 0 ? left : { ...left, credentials: undefined });
  }
  return endRun(left, now, error ? `${name} failed: ${error}` : `${name} left before the run had ended`);
}

function probed(state: RunState, name: string, there: boolean, now: number): Transition {
  const member = state.members.get(name);
  if (!member) return stay(state);
  const goneSince = there ? undefined : member.goneSince ?? now;
  return stay(withMember(state, { ...member, goneSince }));
}

/** The open step is finished first, so that nothing of it is lost. */
function interrupt(state: RunState, now: number): Transition {
  if (state.stage.kind === "ended") return stay(state);
  const interrupted: RunState = { ...state, interrupted: true };
  if (state.stage.kind === "waiting") return endRun(interrupted, now);
  if (state.stage.kind === "evaluating") return stay({ ...interrupted, duties: ["save"] });
  return stay(interrupted);
}

function tick(state: RunState, now: number): Transition {
  if (state.stage.kind === "ended") return endWhenEmpty(state, now);
  for (const member of state.members.values()) {
    const reason = reasonLost(state, member, now);
    if (reason) return leave(state, member.name, reason, now);
  }
  return stay(state);
}

/** Why a member counts as lost, in words; undefined where it does not. */
function reasonLost(state: RunState, member: Member, now: number): string | undefined {
  const { silenceSeconds } = state.plan;
  const doing = `it was last seen ${member.phase} after step ${member.step}`;
  if (member.goneSince !== undefined && now - member.goneSince >= GONE_SECONDS) {
    return `its connection has ended, its process is probably dead; ${doing}`;
  }
  if (now - member.heardAt >= silenceSeconds) {
    return `nothing was heard of it for ${silenceSeconds} s; ${doing}`;
  }
  const stall = STALL_FACTOR * silenceSeconds;
  const still = now - Math.max(member.progressAt, state.stageSince);
  if (state.stage.kind !== "saving" && isAwaited(state, member) && still >= stall) {
    return `it made no progress for ${stall} s; ${doing}`;
  }
}

function endWhenEmpty(state: RunState, now: number): Transition {
  if (state.stage.kind !== "ended") return stay(state);
  const over = state.members.size === 0 || now - state.stage.since >= LEAVE_SECONDS;
  return { state, actions: over ? [{ do: "end" }] : [] };
}

function withMember(state: RunState, member: Member): RunState {
  return { ...state, members: new Map(state.members).set(member.name, member) };
}
