/**
 * What shows at once that a process is gone: its connection has closed and no process listens on its subject, or the launcher that
 * has started it says so. Messages of it that are still in flight are no sign of life. Pure functions.
 *
 * @module
 */

import { lastSeen, NOT_LISTENING } from "./failure_detector.ts";
import { lose } from "./member_loss.ts";
import type { MembershipEvent } from "../state/events.ts";
import { isAwaitedBack } from "../state/reconnection.ts";
import type { Participant, Reducer } from "../state/participants.ts";
import type { RunState, Transition } from "../state/run_state.ts";
import { stay, withCandidate, withMember } from "../state/transitions.ts";
import { loseReducer, withReducer } from "../steps/reducer_set.ts";

/** Seconds within which a process whose connection has closed may connect again. */
export const GRACE_SECONDS = 0.3;

type Signs = Partial<Pick<Participant, "goneSince" | "closedAt">>;

/** A connection of that name has closed, of which more than one may exist: a probe after the grace shows whether it was the last. */
export function disconnected(state: RunState, name: string, now: number): RunState {
  return withSigns(state, name, { closedAt: now });
}

/** The processes to be probed now, since their connection has closed and the grace is over. */
export function doubtful({ members, candidates, reducers }: RunState, now: number): string[] {
  return [...members.values(), ...candidates.values(), ...reducers.values()]
    .filter((each) => isGraceOver(each, now)).map(({ name }) => name);
}

/** A probe has an answer. One that was sent before the grace was over says nothing about what came of the connection. */
export function probed(
  state: RunState,
  { name, there, askedAt }: MembershipEvent & { kind: "probed" },
  now: number,
): Transition {
  const each = find(state, name);
  if (!each) return stay(state);
  const isDecisive = isGraceOver(each, askedAt);
  if (isDecisive && !there && !isAwaitedBack(state, each, now)) {
    return loseAny(state, name, NOT_LISTENING, now);
  }
  return stay(withSigns(state, name, {
    goneSince: there ? undefined : each.goneSince ?? now,
    closedAt: isDecisive ? undefined : each.closedAt,
  }));
}

/** The launcher says that a process has ended. Another one may have its name by now. A reducer's name is never used again. */
export function ended(
  state: RunState,
  { name, nonce }: MembershipEvent & { kind: "ended" },
  now: number,
): Transition {
  const each = find(state, name);
  const isMeant = each && (!("nonce" in each) || each.nonce === nonce);
  return isMeant ? loseAny(state, name, "its process has ended", now) : stay(state);
}

function isGraceOver({ closedAt }: Signs, now: number): boolean {
  return closedAt !== undefined && now - closedAt >= GRACE_SECONDS;
}

function find({ members, candidates, reducers }: RunState, name: string): Participant | Reducer | undefined {
  return members.get(name) ?? candidates.get(name) ?? reducers.get(name);
}

function withSigns(state: RunState, name: string, signs: Signs): RunState {
  const member = state.members.get(name), candidate = state.candidates.get(name);
  const reducer = state.reducers.get(name);
  if (member) return withMember(state, { ...member, ...signs });
  if (candidate) return withCandidate(state, { ...candidate, ...signs });
  return reducer ? withReducer(state, { ...reducer, ...signs }) : state;
}

function loseAny(state: RunState, name: string, reason: string, now: number): Transition {
  const participant = state.members.get(name) ?? state.candidates.get(name);
  return participant
    ? lose(state, name, `${reason}; ${lastSeen(participant)}`, now)
    : loseReducer(state, name, reason);
}
