/**
 * The state of a run as the coordinator knows it: members, step, and what is being waited for. Values that never
 * change; `membership.ts` and `stages.ts` make new ones.
 *
 * @module
 */

import type { MembershipEvent } from "./events.ts";
import type { Messages, OfferedSum, Round, StepTraffic, Traffic } from "../protocol/messages.ts";
import type { Pace } from "./pace.ts";
import type { CoordinationPlan, DistEvent, Duty, RunRecord } from "../replica/plan.ts";
import { lastStep } from "../replica/rounds.ts";
import type { Range } from "../vectors/tree.ts";
import type { LossSum } from "../vectors/sums.ts";
import type { ReplicaIdentity, StateHashes } from "../replica/replica.ts";
import type { MicroBatchReport } from "../replica/accumulate.ts";

/** What an admitted member has, and a new one must have, too. */
export interface Credentials {
  /** Model, numerics and corpus. */
  identity: ReplicaIdentity;
  /** Hash of the run part of the configuration. */
  configHash: string;
  /** Hash of all state vectors at the present step. */
  stateHash: string;
}

/** A worker as the coordinator sees it. */
export interface Participant {
  /** Unique among members and candidates. */
  readonly name: string;
  /** Tells it apart from another of that name. */
  readonly nonce: string;
  /** The generation in which it joined: what it said in an earlier one is void. */
  readonly joinedGeneration: number;
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
  /** Micro-batches per second, once it was measured. */
  readonly speed?: number;
  /** Whether it has computed a sum, so that the next one shows its speed. */
  readonly isWarm?: boolean;
  /** Whether its speed is a guess, because it had nothing to compute for a while. */
  readonly isTrusted?: boolean;
  /** Whether it has asked to leave. */
  readonly isLeaving?: boolean;
  /** Since when nobody listens where it should. */
  readonly goneSince?: number;
  /** When it was first heard of again after the coordinator had no connection, in seconds. */
  readonly returnedAt?: number;
}

/** A worker that was admitted. */
export type Member = Participant;

/** A worker that asked to be a member of a run that has begun. It first takes over the run's state. */
export interface Candidate extends Participant {
  /** The member that has pinned its state for it, and at which step. */
  readonly source?: { readonly donor: string; readonly step: number };
  /** Whether it has that state, checked, and goes along with the steps that followed. */
  readonly ready: boolean;
  /** Boundaries between steps that it came too late for since. */
  readonly misses: number;
}

/** A process that averages a share of the parts of a vector. */
export interface Reducer {
  /** Of its own for each process. */
  readonly name: string;
  /** The generation in which it was taken on: what it said in an earlier one is void. */
  readonly joinedGeneration: number;
  /** When it was last heard of, in seconds. */
  readonly heardAt: number;
  /** Since when each member has kept it waiting, in seconds. */
  readonly blockedSince: ReadonlyMap<string, number>;
  /** Since when nobody has, and it has not finished. */
  readonly idleSince?: number;
  /** Since when nobody listens where it should. */
  readonly goneSince?: number;
  /** When it was first heard of again after the coordinator had no connection, in seconds. */
  readonly returnedAt?: number;
}

/** Ranges of leaves by member. */
export type Ranges = Readonly<Record<string, readonly Range[]>>;

/** The open step, or round of local steps. */
export interface StepInProgress {
  /** When, in seconds. */
  readonly openedAt: number;
  /** The generation that it was opened in. */
  readonly openedIn: number;
  /** Where it is a round, what its leaves are. */
  readonly round?: Round;
  /** Whole subtrees of each member. */
  readonly ranges: Ranges;
  /** What was offered so far. */
  readonly sums: readonly OfferedSum[];
  /** Of each leaf, once it is computed: one for its micro-batch, or in a round one for each of a member's, step after step. */
  readonly reports: readonly (readonly MicroBatchReport[] | undefined)[];
  /** Who averages: part p of the vector is that of number p modulo their count. */
  readonly owners: readonly string[];
  /** Whose parts of the mean all members have, and what they cost. */
  readonly done: ReadonlyMap<string, StepTraffic>;
  /** Sums of squares of the blocks of these parts. */
  readonly squares: ReadonlyMap<number, readonly number[]>;
}

/** A checkpoint that a member has copied its state for. */
export interface Writing {
  /** The member. */
  readonly member: string;
  /** Of the state. */
  readonly step: number;
  /** Who writes it: the member at home, the coordinator as it collects it, or the member for itself where that fails. */
  readonly by: "member" | "coordinator" | "keeper";
}

/** What the run waits for. */
export type Stage =
  /**
   * Nothing: what was waited for is there, and `between_steps.ts` says what comes next. It never outlives one event.
   * `isOpen` where candidates were admitted at this boundary already.
   */
  | { readonly kind: "settled"; readonly isOpen?: true }
  | { readonly kind: "waiting" }
  /** A coordinator that takes over waits for the workers that live to join again. */
  | {
    readonly kind: "gathering";
    /** Members that the run had; 0 where that is not known. */
    readonly expected: number;
    /** Why the run can't be continued where none of them is left. */
    readonly missing?: string;
    /** Who lives. */
    readonly alive: ReadonlySet<string>;
    /** Who has joined again. */
    readonly arrivals: ReadonlyMap<string, MembershipEvent & { kind: "join" }>;
  }
  | ({ readonly kind: "computing" } & StepInProgress)
  | ({ readonly kind: "reducing" } & StepInProgress)
  | { readonly kind: "committing"; readonly commit: Messages["commit"] }
  | {
    readonly kind: "evaluating";
    readonly ranges: Ranges;
    readonly losses: readonly (LossSum | undefined)[];
  }
  /** The writer of a checkpoint copies its state, and where others have moments of their own, they copy them. */
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
  /** The next step waits for candidates that are almost there, until a time. */
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
  /** The last step that all members have ended. */
  readonly step: number;
  /** Those who were admitted and have not left, by name. */
  readonly members: ReadonlyMap<string, Member>;
  /** Those who want to be members, by name. */
  readonly candidates: ReadonlyMap<string, Candidate>;
  /** Those who average besides the coordinator, by name. */
  readonly reducers: ReadonlyMap<string, Reducer>;
  /** Who averaged the last step. */
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
  /** When the coordinator could not hear anybody for the last time, in seconds. */
  readonly deafAt?: number;
  /** When it last had no connection, so that others may have had none either, in seconds. */
  readonly cutOffAt?: number;
  /** How long members took for their results of late. */
  readonly pace: Pace;
  /** Micro-batches of each member in the last step. */
  readonly lastCut: Readonly<Record<string, Range>>;
  /** How long the last step took, in seconds. */
  readonly stepSeconds: number;
  /** What is still to be done before the next step opens. */
  readonly duties: readonly (Duty | "compare")[];
  /** The checkpoint that is being written while the run goes on. */
  readonly writing?: Writing;
  /** The last step whose checkpoint is in the run's folder, or that could not be saved: nothing more can be done for its state. */
  readonly settledStep: number;
  /** The last step whose checkpoint is in the run's folder. */
  readonly savedStep?: number;
  /** Whether the coordinator hands that out: newcomers can begin with it where no member is left. */
  readonly handsOut: boolean;
  /** Whether a checkpoint was lost with its writer: the next step makes up for it. */
  readonly isSaveDue: boolean;
  /** The step at which all members' states were last found equal, and what they hash to. */
  readonly agreed?: { readonly step: number; readonly stateHash: string };
  /** Steps in a row that were skipped. */
  readonly skips: number;
  /** Why the last one was. */
  readonly skipReason?: string;
  /** Whether the run is to stop after this step. */
  readonly interrupted: boolean;
  /** Since when the run, or all its members, are to end, in seconds: a step that takes long after that is dropped. */
  readonly endingSince?: number;
  /** Of the last step, nats per token. */
  readonly loss: number;
  /** Of the last evaluation. */
  readonly valLoss: number | null;
  /** Of all steps. */
  readonly tokens: number;
  /** From the members' last words. */
  readonly paramsHash: string;
  /** What each worker that ever was a member or a candidate last told of its traffic, by nonce. */
  readonly traffic: ReadonlyMap<string, Traffic>;
}

/** What the coordinator has to do. */
export type Action =
  /** Answer the join that is being handled. */
  | { do: "welcome"; member: string }
  | { do: "refuse"; reasons: string[]; retry?: true }
  | { do: "postpone" }
  /** Look up what is on record of the run up to a step, and put later records aside. */
  | { do: "recall"; step: number }
  /** Publish the order of the stage to all. */
  | { do: "announce" }
  /** Tell a candidate where it gets the state. */
  | { do: "tell"; candidate: string }
  /** Get the state that a member elsewhere has copied, and write the checkpoint. */
  | { do: "collect"; member: string; step: number; stateHash?: string }
  /** Tell the member whose checkpoint is in flight to keep it. */
  | { do: "keep" }
  /** Let all who average pull the sums of the open step and publish their mean, or go on with it. */
  | { do: "reduce" }
  /** A member was lost while its sums were pulled: only these are still there, others will come. */
  | { do: "reconfigure"; sums: readonly OfferedSum[] }
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
  };
}

/** What a state takes over from the record of a run. */
export function onRecord(
  { loss, evaluation, tokens, skips }: RunRecord,
): Pick<RunState, "loss" | "valLoss" | "tokens" | "skips"> {
  return { loss, valLoss: evaluation?.valLoss ?? null, tokens, skips };
}

/** The last step of the open commit, or that all members have ended where none is open. */
export function committedStep({ stage, step }: RunState): number {
  return stage.kind === "committing" ? lastStep(step + 1, stage.commit.round?.localSteps) : step;
}
