/**
 * The state of a run as the coordinator knows it: members, step, and what is being waited for. Immutable values;
 * `coordinator/state_machine.ts` and `steps/` make new ones.
 *
 * @module
 */

import type { MembershipEvent } from "./events.ts";
import type { Messages, OfferedSum, StepTraffic, Traffic } from "../protocol/messages.ts";
import type { Pace } from "./pace.ts";
import type { CoordinationPlan, DistEvent, Duty, RunRecord } from "../replica/plan.ts";
import { lastStep, type Round } from "../replica/rounds.ts";
import type { Range, Ranges } from "../vectors/tree.ts";
import type { LossSum } from "../vectors/sums.ts";
import type { Candidate, Credentials, Member, Reducer } from "./participants.ts";
import type { StateHashes } from "../replica/replica.ts";
import type { MicroBatchReport } from "../replica/accumulate.ts";

/** The open step, or round of local steps. */
export interface StepInProgress {
  /** When it was opened, in seconds. */
  readonly openedAt: number;
  /** The generation that it was opened in. */
  readonly openedIn: number;
  /** Checksum of the names of the members that it was opened with. */
  readonly members: number;
  /** For a round: what its leaves are. */
  readonly round?: Round;
  /** Whole subtrees of each member. */
  readonly ranges: Ranges;
  /** What was offered so far. */
  readonly sums: readonly OfferedSum[];
  /** Of each computed leaf: one for its micro-batch, or in a round one for each micro-batch of its member, step after step. */
  readonly reports: readonly (readonly MicroBatchReport[] | undefined)[];
  /** The reducers, or the coordinator: part p of the vector belongs to number p modulo their count. */
  readonly owners: readonly string[];
  /** The owners whose parts of the mean all members have, with their traffic. */
  readonly done: ReadonlyMap<string, StepTraffic>;
  /** Sums of squares of the blocks of these parts. */
  readonly squares: ReadonlyMap<number, readonly number[]>;
}

/** A checkpoint that a member has copied its state for. */
export interface Writing {
  /** The member. */
  readonly member: string;
  /** Step of the state. */
  readonly step: number;
  /** Who writes it: the member at home, the coordinator that collects it, or the member on its own machine where that fails. */
  readonly by: "member" | "coordinator" | "keeper";
}

/** What the run waits for. */
export type Stage =
  /**
   * Nothing: the stage is complete, and `between_steps.ts` chooses the next. It never outlives one event.
   * `isOpen` where candidates were admitted at this boundary already.
   */
  | { readonly kind: "settled"; readonly isOpen?: true }
  | { readonly kind: "waiting" }
  /** After a failover the new coordinator waits for the live workers to join again. */
  | {
    readonly kind: "gathering";
    /** Members that the run had; 0 where that is not known. */
    readonly expected: number;
    /** Why the run can't continue where none of them is left. */
    readonly missing?: string;
    /** Workers that are alive. */
    readonly alive: ReadonlySet<string>;
    /** Workers that have joined again. */
    readonly arrivals: ReadonlyMap<string, MembershipEvent & { kind: "join" }>;
  }
  | ({ readonly kind: "computing" } & StepInProgress)
  | ({ readonly kind: "reducing" } & StepInProgress)
  | { readonly kind: "committing"; readonly commit: Messages["commit"] }
  | {
    readonly kind: "evaluating";
    readonly ranges: Ranges;
    readonly losses: readonly (LossSum | undefined)[];
    readonly sampler?: Messages["evaluate"]["sampler"];
  }
  /** The writer of a checkpoint copies its state; in DiLoCo all members copy their own optimizer moments. */
  | { readonly kind: "saving"; readonly writer: string; readonly copying: ReadonlySet<string> }
  /** The checkpoint that is being written has to be complete before the next one begins, or the run ends. */
  | { readonly kind: "writing" }
  /** Hashes are compared, now and then and at the end. */
  | {
    readonly kind: "hashing";
    readonly hashes: ReadonlyMap<string, StateHashes>;
    readonly isLast: boolean;
  }
  /** A member pins its state for candidates. */
  | { readonly kind: "pinning"; readonly donor: string }
  /** The next step waits until a deadline for candidates that have almost caught up. */
  | { readonly kind: "admitting"; readonly until: number }
  | { readonly kind: "ended"; readonly since: number; readonly error?: string; readonly canResume?: true };

/** Everything the coordinator knows. */
export interface RunState {
  /** What the run is to do. */
  readonly plan: CoordinationPlan;
  /** Number of this coordinator. */
  readonly term: number;
  /** Number of the set of members; 0 until training starts. */
  readonly generation: number;
  /** The last step that all members have completed. */
  readonly step: number;
  /** Admitted workers that have not left, by name. */
  readonly members: ReadonlyMap<string, Member>;
  /** Workers that want to be members, by name. */
  readonly candidates: ReadonlyMap<string, Candidate>;
  /** Reducers besides the coordinator, by name. */
  readonly reducers: ReadonlyMap<string, Reducer>;
  /** The reducers of the last step, or the coordinator. */
  readonly lastOwners?: readonly string[];
  /** The last step whose mean was applied under this coordinator; 0 for none. */
  readonly appliedStep: number;
  /** Nonces of members that were lost since the last commit: they have the state of the present step, or of the next. */
  readonly recentlyLost: ReadonlySet<string>;
  /** What all members have in common, once there is one. */
  readonly credentials?: Credentials;
  /** What is being waited for. */
  readonly stage: Stage;
  /** When the stage began, in seconds. */
  readonly stageSince: number;
  /** When the coordinator was last unable to receive messages, in seconds. */
  readonly deafAt?: number;
  /** When it last had no connection, so that members may have had none either, in seconds. */
  readonly cutOffAt?: number;
  /** How long members recently took for their results. */
  readonly pace: Pace;
  /** Micro-batches of each member in the last step. */
  readonly lastCut: Readonly<Record<string, Range>>;
  /** How long the last step took, in seconds. */
  readonly stepSeconds: number;
  /** What is still to be done before the next step opens. */
  readonly duties: readonly (Duty | "compare")[];
  /** The checkpoint that is being written while training continues. */
  readonly writing?: Writing;
  /** The member that continues the prompts with the state of a step, while training continues. */
  readonly sampling?: { readonly member: string; readonly step: number };
  /** The last step whose checkpoint is in the run's folder, or that could not be saved: nothing more can be done for its state. */
  readonly settledStep: number;
  /** The last step whose checkpoint is in the run's folder. */
  readonly savedStep?: number;
  /** Whether the coordinator hands it out: newcomers can start from it where no member is left. */
  readonly handsOut: boolean;
  /** Whether a checkpoint was lost with its writer: another is saved after the next step. */
  readonly isSaveDue: boolean;
  /** The step at which all members' states were last found equal, and what they hash to. */
  readonly agreed?: { readonly step: number; readonly stateHash: string };
  /** Steps in a row that were skipped. */
  readonly skips: number;
  /** Why the last one was skipped. */
  readonly skipReason?: string;
  /** Whether the run is to stop after this step. */
  readonly interrupted: boolean;
  /** Since when the run, or all its members, are to end, in seconds: a step that takes too long after that is dropped. */
  readonly endingSince?: number;
  /** Of the last step, nats per token. */
  readonly loss: number;
  /** Of the last evaluation. */
  readonly valLoss: number | null;
  /** Of all steps. */
  readonly tokens: number;
  /** From the final hashes of the members. */
  readonly paramsHash: string;
  /** Last traffic counters of every worker that was ever a member or a candidate, by nonce. */
  readonly traffic: ReadonlyMap<string, Traffic>;
  /** The same when it was last told how they spend their time, or when they joined since. */
  readonly toldTraffic: ReadonlyMap<string, Traffic>;
  /** When that was last told, or training began, in seconds. */
  readonly toldAt?: number;
}

/** What the coordinator has to do. */
export type Action =
  /** Answer the join that is being handled. */
  | { do: "welcome"; member: string }
  | { do: "refuse"; reasons: string[]; retry?: true }
  | { do: "postpone" }
  /** Look up the record of the run up to a step, and set later records aside. */
  | { do: "recall"; step: number }
  /** Publish the order of the stage to all. */
  | { do: "announce" }
  /** Tell a candidate where it gets the state. */
  | { do: "tell"; candidate: string }
  /** Get the state that a member on another machine has copied, and write the checkpoint. */
  | { do: "collect"; member: string; step: number; stateHash?: string }
  /** Tell the member whose checkpoint is in flight to keep it. */
  | { do: "keep" }
  /** Let the reducers pull the sums of the open step and publish their mean, or continue with it. */
  | { do: "reduce" }
  /** A member was lost while its sums were pulled: only these remain, others will come. */
  | { do: "reconfigure"; sums: readonly OfferedSum[] }
  | { do: "report"; event: DistEvent }
  /** No process is left to be told anything: return. */
  | { do: "end" };

/** A new state, and what follows from it. */
export interface Transition {
  /** After the event. */
  state: RunState;
  /** To be done, in order. */
  actions: Action[];
}

/** The state before any worker has joined. */
export function initialState(plan: CoordinationPlan, term: number, handsOut = false): RunState {
  return {
    plan,
    term,
    generation: 0,
    step: plan.startStep,
    members: new Map(),
    candidates: new Map(),
    reducers: new Map(),
    appliedStep: 0,
    recentlyLost: new Set(),
    stage: { kind: "waiting" },
    stageSince: 0,
    pace: {},
    lastCut: {},
    stepSeconds: 0,
    duties: [],
    settledStep: plan.startStep,
    savedStep: plan.startStep > 0 ? plan.startStep : undefined,
    handsOut,
    isSaveDue: false,
    interrupted: false,
    ...onRecord(plan.record),
    paramsHash: "",
    traffic: new Map(),
    toldTraffic: new Map(),
  };
}

/** The fields of a state that come from the record of a run. */
export function onRecord(
  { loss, evaluation, tokens, skips }: RunRecord,
): Pick<RunState, "loss" | "valLoss" | "tokens" | "skips"> {
  return { loss, valLoss: evaluation?.valLoss ?? null, tokens, skips };
}

/** The last step of the open commit, or that all members have ended where none is open. */
export function committedStep({ stage, step }: RunState): number {
  return stage.kind === "committing" ? lastStep(step + 1, stage.commit.round?.localSteps) : step;
}
