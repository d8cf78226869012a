/**
 * The state of a run as the coordinator knows it: members, step, and what is being waited for. Values that never
 * change; `membership.ts` and `stages.ts` make new ones.
 *
 * @module
 */

import type { Credentials } from "./admission.ts";
import type { ControlKind, Messages, MicroBatchReport, Range } from "./messages.ts";
import type { CoordinationPlan, DistEvent, Duty } from "./plan.ts";
import type { LossSum } from "./replica.ts";

/** A worker that was admitted. */
export interface Member {
  /** Unique among the members. */
  readonly name: string;
  /** Tells it apart from another of that name. */
  readonly nonce: string;
  /** Whether it is on the machine where the run was started, whose members write the checkpoints. */
  readonly atHome: boolean;
  /** The last step that it has ended. */
  readonly step: number;
  /** What it last said that it does. */
  readonly phase: string;
  /** Rises with everything it does. */
  readonly progress: number;
  /** When it was last heard of, in seconds. */
  readonly heardAt: number;
  /** When its phase or progress last changed, in seconds. */
  readonly progressAt: number;
  /** Since when nobody listens where it should. */
  readonly goneSince?: number;
}

/** A sum that a member has and the coordinator may pull. */
export interface OfferedSum {
  /** Who has it. */
  readonly member: string;
  /** First micro-batch. */
  readonly lo: number;
  /** One past the last. */
  readonly hi: number;
}

/** The open step. */
export interface StepInProgress {
  /** When, in seconds. */
  readonly openedAt: number;
  /** Micro-batches of each member. */
  readonly ranges: Readonly<Record<string, Range>>;
  /** What was offered so far. */
  readonly sums: readonly OfferedSum[];
  /** Of each micro-batch, once it is computed. */
  readonly reports: readonly (MicroBatchReport | undefined)[];
}

/** What the run waits for. */
export type Stage =
  | { readonly kind: "waiting" }
  | ({ readonly kind: "computing" } & StepInProgress)
  | ({ readonly kind: "averaging" } & StepInProgress)
  | { readonly kind: "committing"; readonly commit: Messages["commit"] }
  | {
    readonly kind: "evaluating";
    readonly ranges: Readonly<Record<string, Range>>;
    readonly losses: readonly (LossSum | undefined)[];
  }
  | { readonly kind: "saving"; readonly writer: string }
  | { readonly kind: "hashing"; readonly hashes: ReadonlyMap<string, Messages["hashes"]> }
  | { readonly kind: "ended"; readonly since: number; readonly error?: string };

/** Everything the coordinator knows. */
export interface RunState {
  /** What the run is to do. */
  readonly plan: CoordinationPlan;
  /** Number of this coordinator. */
  readonly term: number;
  /** Number of the set of members; 0 until training starts. */
  readonly generation: number;
  /** The last step that all members have ended. */
  readonly step: number;
  /** Those who were admitted and have not left, by name. */
  readonly members: ReadonlyMap<string, Member>;
  /** What all members have in common, once there is one. */
  readonly credentials?: Credentials;
  /** What is being waited for. */
  readonly stage: Stage;
  /** When the stage began, in seconds. */
  readonly stageSince: number;
  /** What is still to be done before the next step opens. */
  readonly duties: readonly Duty[];
  /** Whether the run is to stop after this step. */
  readonly interrupted: boolean;
  /** Of the last step, nats per token. */
  readonly loss: number;
  /** Of the last evaluation. */
  readonly valLoss: number | null;
  /** Of all steps. */
  readonly tokens: number;
  /** From the members' last words. */
  readonly paramsHash: string;
  /** Averaging payload that members sent, from their last words. */
  readonly bytesSent: number;
  /** Averaging payload that members received, from their last words. */
  readonly bytesReceived: number;
}

/** What the coordinator has to do. */
export type Action =
  /** Answer the join that is being handled. */
  | { do: "welcome" }
  | { do: "refuse"; reasons: string[] }
  /** Publish the order of the stage to all. */
  | { do: "announce" }
  /** Pull these sums, and publish their mean. */
  | { do: "average"; sums: readonly OfferedSum[]; tokens: number; lossSum: number }
  | { do: "report"; event: DistEvent }
  /** Nobody is left to be told anything: return. */
  | { do: "end" };

/** A new state, and what follows from it. */
export interface Transition {
  /** After the event. */
  state: RunState;
  /** To be done, in order. */
  actions: Action[];
}

/** The state before anybody has joined. */
export function initialState(plan: CoordinationPlan, term: number): RunState {
  return {
    plan,
    term,
    generation: 0,
    step: plan.startStep,
    members: new Map(),
    stage: { kind: "waiting" },
    stageSince: 0,
    duties: [],
    interrupted: false,
    loss: NaN,
    valLoss: null,
    tokens: 0,
    paramsHash: "",
    bytesSent: 0,
    bytesReceived: 0,
  };
}

/** An order to members: carrying it out twice is the same as once. */
export type Order = { [K in ControlKind]: { kind: K; step: number; message: Messages[K] } }[ControlKind];

/** What members have to do in this stage; undefined where there is nothing for them, or parts travel. */
export function orderOf({ stage, step }: RunState): Order | undefined {
  switch (stage.kind) {
    case "computing":
      return { kind: "assign", step: step + 1, message: { ranges: stage.ranges } };
    case "committing":
      return { kind: "commit", step: step + 1, message: stage.commit };
    case "evaluating":
      return { kind: "evaluate", step, message: { ranges: stage.ranges } };
    case "saving":
      return { kind: "save", step, message: { writer: stage.writer } };
    case "hashing":
      return { kind: "hash", step, message: {} };
    case "ended":
      return { kind: "finish", step, message: { error: stage.error } };
    case "waiting":
    case "averaging":
      return undefined;
  }
}

/** Whether a member still has to carry out the order of this stage. */
export function isAwaited({ stage, step }: RunState, member: Member): boolean {
  switch (stage.kind) {
    case "computing":
      return lacks(stage.reports, stage.ranges[member.name]);
    case "committing":
      return member.step <= step;
    case "evaluating":
      return lacks(stage.losses, stage.ranges[member.name]);
    case "saving":
      return stage.writer === member.name;
    case "hashing":
      return !stage.hashes.has(member.name);
    case "averaging":
    case "ended":
      return true;
    case "waiting":
      return false;
  }
}

function lacks(results: readonly unknown[], [lo, hi]: Range): boolean {
  return results.slice(lo, hi).some((result) => result === undefined);
}
