/**
 * Who reduces which parts: the coordinator alone, or separate reducers. Pure functions. The parts of a step are assigned
 * round-robin when it opens; those of a lost reducer go to its successors, which pull the sums again.
 *
 * @module
 */

import { codecOf } from "../vectors/codecs.ts";
import type { MembershipEvent } from "../state/events.ts";
import type { ReceivedOf, StepOfVectors } from "../protocol/messages.ts";
import type { DistEvent } from "../replica/plan.ts";
import { layoutOf } from "../../layout.ts";
import { BLOCK } from "../vectors/sums.ts";
import { heardOf } from "../state/reconnection.ts";
import type { Reducer } from "../state/participants.ts";
import type { RunState, StepInProgress, Transition } from "../state/run_state.ts";
import { withMalformed } from "../state/traffic.ts";
import { reportAnd, stay, withCandidate } from "../state/transitions.ts";
import { ownerOf, partsOf } from "../vectors/parts.ts";
import { COORDINATOR } from "../protocol/transport.ts";
import { totalOf } from "./progress.ts";

/** The owners of the parts of a step that opens now. */
export function ownersOf({ reducers }: RunState): string[] {
  return reducers.size > 0 ? [...reducers.keys()] : [COORDINATOR];
}

/** The work of the reducers; undefined outside of the all-reduce. */
export function workOf(
  { stage, step, appliedStep, members, candidates, credentials }: RunState,
): StepOfVectors | undefined {
  if (stage.kind !== "reducing") return undefined;
  const { openedIn, sums, owners, reports: { length: leaves } } = stage;
  return {
    step: step + 1,
    appliedStep,
    openedIn,
    owners,
    leaves,
    sums,
    members: [...members.keys()],
    far: [...members.values(), ...candidates.values()].filter(({ isNear }) => !isNear).map(({ name }) =>
      name
    ),
    ...totalOf(stage),
    values: layoutOf(credentials?.identity.layout ?? []).size,
  };
}

/** Whether a report covers exactly this reducer's parts, and all blocks of each. */
export function isSoundReport(
  { sender, message: { squares } }: ReceivedOf<"reduced">,
  { owners, values }: StepOfVectors,
  partElements: number,
): boolean {
  const parts = partsOf(owners, sender, Math.ceil(values / partElements));
  const blocks = new Map(squares.map(([part, { length }]) => [part, length]));
  const blocksOf = (part: number) => Math.ceil(Math.min(partElements, values - part * partElements) / BLOCK);
  return owners.includes(sender) && squares.length === parts.length &&
    parts.every((part) => blocks.get(part) === blocksOf(part));
}

/** Whether a reducer, or the coordinator, has not finished its share of the open step. */
export function isReducing({ stage }: RunState, name: string): boolean {
  return stage.kind === "reducing" && stage.owners.includes(name) && !stage.done.has(name);
}

/** The state with a reducer that is new or has changed. */
export function withReducer(state: RunState, reducer: Reducer): RunState {
  return { ...state, reducers: new Map(state.reducers).set(reducer.name, reducer) };
}

/** A reducer is alive. A new one gets its share from the next step on. */
export function engage(
  state: RunState,
  { reducer: name, isNear, blockedSeconds, malformedOrders }: MembershipEvent & { kind: "reducer" },
  now: number,
): Transition {
  if (state.stage.kind === "ended" || state.members.has(name)) return stay(state);
  const present = state.reducers.get(name);
  const isIdle = isReducing(state, name) && Object.keys(blockedSeconds).length === 0;
  const returnedAt = present && heardOf(state, present, now).returnedAt;
  const next = withReducer(withMalformed(state, name, malformedOrders), {
    name,
    isNear,
    joinedGeneration: present?.joinedGeneration ?? state.generation,
    heardAt: now,
    returnedAt,
    closedAt: present?.closedAt,
    idleSince: isIdle ? present?.idleSince ?? now : undefined,
    // By its own clock, which continued while it had no connection.
    blockedSince: new Map(
      Object.entries(blockedSeconds).map((
        [member, seconds],
      ) => [member, Math.max(now - seconds, returnedAt ?? -Infinity)]),
    ),
  });
  const event: DistEvent = { kind: "reducerJoined", reducer: name, reducers: next.reducers.size };
  return present ? stay(next) : reportAnd(event, stay(next));
}

/** A reducer has left, or was lost: others reduce its parts in the same step, since the members still have their sums. */
export function loseReducer(state: RunState, name: string, error?: string): Transition {
  const reducers = new Map(state.reducers);
  reducers.delete(name);
  if (state.stage.kind === "ended") return stay({ ...state, reducers });
  // Another generation: messages from the lost reducer, if it is still alive, are stale.
  const generation = state.generation + (state.generation > 0 ? 1 : 0);
  const next = handOver({ ...state, reducers, generation }, name);
  const event = {
    kind: "reducerLeft",
    reducer: name,
    reducers: reducers.size,
    ...(error ? { error } : {}),
  } as const;
  if (!hasResiduals(state)) return reportAnd(event, next);
  return reportAnd(event, reportAnd({ kind: "residualsDropped", holder: name, reason: "it left" }, next));
}

function handOver(state: RunState, lost: string): Transition {
  const { stage } = state;
  const isOpen = stage.kind === "computing" || stage.kind === "reducing";
  if (!isOpen || !stage.owners.includes(lost) || stage.done.has(lost)) return stay(state);
  const { owners, successors } = reassigned(state, stage.owners, (owner) => owner !== lost);
  const done = new Map(stage.done);
  for (const successor of successors) done.delete(successor);
  const handed = withoutFollowers({ ...state, stage: { ...stage, owners, done } });
  return { state: handed, actions: stage.kind === "reducing" ? [{ do: "reduce" }] : [] };
}

/** The open step, all parts of which are reduced again by the present reducers. */
export function restart<S extends StepInProgress>(state: RunState, stage: S): S {
  const isThere = (owner: string) => owner === COORDINATOR || state.reducers.has(owner);
  const { owners } = reassigned(state, stage.owners, isThere);
  return { ...stage, owners, done: new Map(), squares: new Map() };
}

/** The owners with those that are gone replaced, round-robin, by successors; and these successors. */
function reassigned(state: RunState, owners: readonly string[], isThere: (owner: string) => boolean) {
  const successors = ownersOf(state);
  let next = 0;
  return {
    owners: owners.map((owner) => isThere(owner) ? owner : successors[next++ % successors.length]),
    successors: successors.slice(0, next),
  };
}

/**
 * Parts that another reducer had sent come again, with other residuals and so with other bytes. Members acknowledge what they
 * have; candidates don't, and could mix both: they restart their state transfer.
 */
function withoutFollowers(state: RunState): RunState {
  if (!hasResiduals(state)) return state;
  let next = state;
  for (const candidate of state.candidates.values()) {
    next = withCandidate(next, { ...candidate, source: undefined, ready: false });
  }
  return next;
}

/** Reports dropped residuals where parts have other owners than in the step before. */
export function reportMoved(before: RunState, opened: Transition): Transition {
  const { stage } = opened.state;
  const { lastOwners } = before; // none where a run is resumed: the owners then load the saved residuals
  if (stage.kind !== "computing" || !lastOwners || !codecOf(before.plan.codec).hasFeedback) return opened;
  const { owners } = stage;
  const isSame = Array.from({ length: owners.length * lastOwners.length }, (_, part) => part)
    .every((part) => ownerOf(owners, part) === ownerOf(lastOwners, part));
  if (isSame) return opened;
  const reason = `its parts are assigned to ${owners.join(", ")}`;
  return reportAnd({ kind: "residualsDropped", holder: "the mean", reason }, opened);
}

/** Whether processes keep residuals of error feedback by now. */
export function hasResiduals({ generation, plan }: RunState): boolean {
  return generation > 0 && codecOf(plan.codec).hasFeedback;
}
