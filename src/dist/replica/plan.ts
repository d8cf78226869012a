/**
 * The plan of a run, its events and its outcome: the same types for a coordinator with its workers and for a single process.
 *
 * @module
 */

import { boundaryBefore, type DilocoPlan } from "./rounds.ts";
import type { Range } from "../vectors/tree.ts";
import type { CodecName } from "../vectors/codec.ts";
import type { SampleEvent } from "./samples.ts";

/** Summary of the steps of a run so far. */
export interface RunRecord {
  /** Counted tokens of all of them. */
  tokens: number;
  /** Of the last one, nats per token; NaN where there was none. */
  loss: number;
  /** The last evaluation, and the step that it followed. */
  evaluation?: { step: number; valLoss: number };
  /** Steps in a row that were skipped, up to the last one. */
  skips: number;
}

/** The record of a new run. */
export const NO_RECORD: Readonly<RunRecord> = { tokens: 0, loss: NaN, skips: 0 };

/** The plan of a run. */
export interface RunPlan {
  /** Name of the run, 1 to 64 letters, digits, _ and -. */
  run: string;
  /** Identity of the run, by which two runs of the same name differ. */
  id: string;
  /** Where its data begins, in units that the caller defines: sent to workers that request the configuration. */
  origin: { step: number; samples: number };
  /** The run part of the configuration, as JSON: sent to workers that request it. */
  config: Record<string, unknown>;
  /** SHA-256 of the run part: members with another one are rejected at join. */
  configHash: string;
  /** The last step. */
  steps: number;
  /** The step of the replicas when the run starts. */
  startStep: number;
  /** SHA-256 of their state at that step, where the run has a checkpoint of it. */
  startHash?: string;
  /** Summary of the steps up to `startStep`. */
  record: RunRecord;
  /** Micro-batches of the global batch of a step. */
  microBatches: number;
  /** Parameter averaging in rounds of local steps (DiLoCo); without it, gradients are averaged in every step. */
  diloco?: DilocoPlan;
  /**
   * Evaluate after every `every` steps and after the last one; `microBatches` 0: never, `every` 0: only after the last. One replica
   * then continues the prompts (`replica.sample`).
   */
  evaluation: { every: number; microBatches: number; prompts?: readonly string[] };
  /** A run stops with an error when this number of steps in a row were skipped. */
  maxSkips: number;
  /** Steps between two checkpoints; 0: only after the last step, which is always saved. */
  saveEvery: number;
}

/** How a run with workers is coordinated. */
export interface CoordinationPlan extends RunPlan {
  /** Members that the first step waits for. */
  startWorkers: number;
  /** Members that later steps wait for. */
  minWorkers: number;
  /** Steps between two comparisons of the members' states; 0: only after the last. */
  hashEvery: number;
  /** Whether members' numerics may differ: then replicas are equal to each other, but depend on the set of members. */
  mixed: boolean;
  /** How sums and means are encoded on the wire. */
  codec: CodecName;
  /** Most bytes of one message with a part of a vector. */
  partBytes: number;
  /** Most bytes in flight from all members together, and most bytes of the mean that a member has not acknowledged. */
  windowBytes: number;
  /** Seconds between two heartbeats of a member. */
  heartbeatSeconds: number;
  /** Least seconds of silence after which a member is lost, however fast micro-batches are. */
  patienceSeconds: number;
  /** Seconds of silence after which a member is lost even if its pace is unknown or very slow. */
  silenceSeconds: number;
}

/** A step that was committed. */
export interface CommittedStep {
  /** From 1 on. */
  step: number;
  /** Mean over the counted tokens, nats per token. */
  loss: number;
  /** Counted tokens. */
  tokens: number;
  /** Norm of the mean gradient before clipping, or of the mean pseudo-gradient of a round that ends; NaN where there is no mean. */
  gradNorm: number;
  /** False when the step was skipped: a loss or gradient was not finite, or no token counted. */
  applied: boolean;
  /** Why it was skipped. */
  reason?: string;
  /** From its opening to its commit; in a round, the time of the round divided by its steps. */
  seconds: number;
  /** All-reduce payload received from members, in bytes. */
  bytesSent: number;
  /** All-reduce payload that members have received, in bytes. */
  bytesReceived: number;
  /** Members; 0 in a run without workers. */
  workers: number;
  /** Number of the set of members. */
  generation: number;
  /** Micro-batches that each member computed. */
  computed: Record<string, number[]>;
  /** CRC-32 of the ids that were fed to the model, per micro-batch; null where they were dropped with a member lost in the round. */
  samples: (number | null)[];
  /** First and last step of the round of local steps that it belongs to. */
  round?: readonly [first: number, last: number];
}

/** How a member has spent its time since the last such event, or since it joined. */
export interface MemberUsage {
  /** "cpu", or the name of its GPU. */
  device: string;
  /** Micro-batches of its last order; absent where it has had none. */
  range?: [lo: number, hi: number];
  /** Seconds computing gradients, updates and losses. */
  computing: number;
  /** Seconds exchanging sums and means: from the first request for a sum until the mean is there. */
  exchanging: number;
  /** Seconds of neither. */
  waiting: number;
  /** All-reduce payload sent, in bytes. */
  bytesSent: number;
  /** All-reduce payload received, in bytes. */
  bytesReceived: number;
  /** Resident memory of its process now, in bytes. */
  memory: number;
  /** Seconds since its last message. */
  heardAgo: number;
}

/** Seconds between two events of {@linkcode MemberUsage}. */
export const USAGE_SECONDS = 10;

/** Events of a run. */
export type DistEvent =
  | { kind: "waiting"; reason: string }
  /** `isNear`: it shares memory with the coordinator's neighbours. */
  | { kind: "joined"; member: string; isNear: boolean; members: number }
  | { kind: "refused"; member: string; reasons: string[] }
  /** Another coordinator has taken over and continues the run after a step. */
  | { kind: "took over"; step: number; term: number; members: string[] }
  /** The server can't keep a lease: a second coordinator is only prevented while this one answers. */
  | { kind: "no lease" }
  /** A worker whose numerics differ from those of the run's first worker is admitted, since the plan allows it. */
  | { kind: "mixed"; member: string; numerics: string; runsNumerics: string }
  /** Memory that processes of this machine could share can't be had, and why: means travel. */
  | { kind: "by messages"; reason: string }
  /** State transfer: a newcomer gets the state of a step from a member. */
  | { kind: "joining"; member: string; donor: string; step: number }
  /** A member left or was lost, and why; `members` remain. */
  | { kind: "left"; member: string; members: number; error?: string }
  /** A reducer takes part from the next step on; or no longer, and why. */
  | { kind: "reducerJoined"; reducer: string; reducers: number }
  | { kind: "reducerLeft"; reducer: string; reducers: number; error?: string }
  /** The residuals of error feedback are lost: whose, and why. */
  | { kind: "residualsDropped"; holder: string; reason: string }
  /** A member was lost in a round, which continues without its contribution: these micro-batches of each step. */
  | { kind: "dropped"; member: string; steps: readonly [first: number, last: number]; microBatches: Range }
  | { kind: "step"; committed: CommittedStep }
  | { kind: "evaluated"; step: number; valLoss: number }
  | SampleEvent
  /** How members have spent their time: now and then, and at the end. */
  | { kind: "usage"; seconds: number; members: Record<string, MemberUsage> }
  /** A checkpoint is complete: in the run's folder, or on the machine of the member that wrote it. */
  | { kind: "saved"; step: number; member: string; place: string; elsewhere?: true }
  /** A checkpoint is being fetched from a member on another machine; `share` of it has arrived. */
  | { kind: "collecting"; step: number; member: string; share: number }
  /** A member could not write its own part of a checkpoint, such as its moments: when resumed, it gets those of another member. */
  | { kind: "unkept"; member: string; step: number; error: string }
  /** A checkpoint could not be written. The run continues. */
  | { kind: "unsaved"; step: number; error: string };

/** Outcome of a run. */
export interface RunOutcome {
  /** The last step that was ended. */
  steps: number;
  /** Of the last step, nats per token; NaN where there was none. */
  loss: number;
  /** Of the last evaluation; null where there was none. */
  valLoss: number | null;
  /** Counted tokens over all steps. */
  tokens: number;
  /** All-reduce payload that all workers of the run sent, in bytes; of one that was killed, until its last heartbeat. */
  bytesSent: number;
  /** All-reduce payload that they received, in bytes. */
  bytesReceived: number;
  /** Bytes of state transfers that they received. */
  stateBytes: number;
  /** SHA-256 of the parameters; empty where the run was interrupted before it began. */
  paramsHash: string;
  /**
   * Messages that were dropped, by reason: "damaged", "foreign", "malformed", "version" and "stale" by the coordinator, "stale
   * orders" and "malformed orders" by workers.
   */
  dropped: Record<string, number>;
  /** True when the run was stopped before its last step. */
  interrupted: boolean;
}

/** What may be due after a step, before the next one. */
export type Duty = "evaluate" | "save";

/** Whether something that is due every `every` steps became due between the previous boundary and this one. */
export function isDueAt(plan: RunPlan, step: number, every: number): boolean {
  return every > 0 && Math.floor(step / every) > Math.floor(boundaryBefore(plan, step) / every);
}

/** The duties after `step`, a boundary. A run that is interrupted saves and does not evaluate. */
export function dutiesAfter(plan: RunPlan, step: number, interrupted: boolean): Duty[] {
  const last = step === plan.steps;
  const isDue = (every: number) => last || isDueAt(plan, step, every);
  const duties: Duty[] = [];
  if (plan.evaluation.microBatches > 0 && isDue(plan.evaluation.every) && (last || !interrupted)) {
    duties.push("evaluate");
  }
  if (interrupted || isDue(plan.saveEvery)) duties.push("save");
  return duties;
}

/** The error of a run whose last checkpoint could not be written. */
export function reasonUnsaved(step: number, error: string): string {
  return `the state after step ${step}, the last, is lost: ${error}`;
}
