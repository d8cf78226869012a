/**
 * What a run is to do, what it tells while it does it, and how it ends: the same for a coordinator with its workers and
 * for a single process.
 *
 * @module
 */

import { boundaryBefore, type DilocoPlan } from "./rounds.ts";
import type { Range } from "../vectors/tree.ts";
import type { CodecName } from "../vectors/codec.ts";

/** What is on record of the steps of a run so far. */
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

/** The record of a run that begins. */
export const NO_RECORD: Readonly<RunRecord> = { tokens: 0, loss: NaN, skips: 0 };

/** What a run is to do. */
export interface RunPlan {
  /** Name of the run, 1 to 64 letters, digits, _ and -. */
  run: string;
  /** Identity of the run: another one of the same name is another run. */
  id: string;
  /** Where its data began, in terms of its owner: handed to workers that ask for the configuration. */
  origin: { step: number; samples: number };
  /** The run part of the configuration, as JSON: handed to workers that ask for it. */
  config: Record<string, unknown>;
  /** SHA-256 of the run part: members with another one are refused. */
  configHash: string;
  /** The last step. */
  steps: number;
  /** The step that replicas are at when the run starts. */
  startStep: number;
  /** SHA-256 of their state then, where the run has a checkpoint of it. */
  startHash?: string;
  /** What is on record up to there. */
  record: RunRecord;
  /** Micro-batches of the global batch of a step. */
  microBatches: number;
  /** How parameters are averaged in rounds of local steps; without it gradients are, every step. */
  diloco?: DilocoPlan;
  /** Evaluate after every `every` steps and after the last one; `microBatches` 0: never, `every` 0: only after the last. */
  evaluation: { every: number; microBatches: number };
  /** A run stops with an error when so many steps in a row were skipped. */
  maxSkips: number;
  /** Save after every so many steps; 0: only after the last, which is always saved. */
  saveEvery: number;
}

/** How a run with workers is coordinated. */
export interface CoordinationPlan extends RunPlan {
  /** The first step opens when so many members are there. */
  startWorkers: number;
  /** Later steps open when so many members are there. */
  minWorkers: number;
  /** Members' states are compared after every so many steps; 0: only after the last. */
  hashEvery: number;
  /** Whether members may have other numerics: then replicas are equal to each other, not to those of another set of members. */
  mixed: boolean;
  /** How sums and means are written on the wire. */
  codec: CodecName;
  /** Most bytes of one part of a vector on its way. */
  partBytes: number;
  /** Most bytes on their way from all members together, and most bytes of the mean that a member has not acknowledged. */
  windowBytes: number;
  /** Seconds between two signs of life of a member. */
  heartbeatSeconds: number;
  /** A member is never given up for less than so many seconds of silence, however quick micro-batches are. */
  patienceSeconds: number;
  /** Seconds of silence after which a member is lost even if nothing is known of its pace, or it is very slow. */
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
  /** Norm of the mean gradient before clipping, or of the mean way of a round that ends; NaN where nothing was averaged. */
  gradNorm: number;
  /** False when the step was skipped: a loss or gradient was not finite, or no token counted. */
  applied: boolean;
  /** Why it was skipped. */
  reason?: string;
  /** From its opening to its commit; in a round, its share of that. */
  seconds: number;
  /** ReduceWindow payload that came from members, in bytes. */
  bytesSent: number;
  /** ReduceWindow payload that members have received, in bytes. */
  bytesReceived: number;
  /** Members; 0 in a run without workers. */
  workers: number;
  /** Number of the set of members. */
  generation: number;
  /** Micro-batches that each member computed. */
  computed: Record<string, number[]>;
  /** CRC-32 of the ids that were fed to the model, per micro-batch; null where they are dropped with a lost member's round. */
  samples: (number | null)[];
  /** First and last step of the round of local steps that it belongs to. */
  round?: readonly [first: number, last: number];
}

/** What a run tells while it goes on. */
export type DistEvent =
  | { kind: "waiting"; reason: string }
  | { kind: "joined"; member: string; members: number }
  | { kind: "refused"; member: string; reasons: string[] }
  /** Another coordinator goes on with the run after a step. */
  | { kind: "took over"; step: number; term: number; members: string[] }
  /** The server can't keep a lease: only its answer keeps another coordinator away. */
  | { kind: "no lease" }
  /** A worker with other numerics than the run's first one is admitted, since the plan allows it. */
  | { kind: "mixed"; member: string; numerics: string; runsNumerics: string }
  /** A worker takes over the state of a step from a member, to become one. */
  | { kind: "joining"; member: string; donor: string; step: number }
  /** A member left by itself, or was lost, and why; `members` are left. */
  | { kind: "left"; member: string; members: number; error?: string }
  /** A process is there to average a share of the vectors, from the next step on; or is so no more, and why. */
  | { kind: "reducerJoined"; reducer: string; reducers: number }
  | { kind: "reducerLeft"; reducer: string; reducers: number; error?: string }
  /** What encoding has lost so far is not made up for: whose it was, and why. */
  | { kind: "residualsDropped"; holder: string; reason: string }
  /** A member was lost in a round, which goes on without what it has learned from these micro-batches of each step. */
  | { kind: "dropped"; member: string; steps: readonly [first: number, last: number]; microBatches: Range }
  | { kind: "step"; committed: CommittedStep }
  | { kind: "evaluated"; step: number; valLoss: number }
  /** A checkpoint is complete: in the run's folder, or on the machine of the member that had the state. */
  | { kind: "saved"; step: number; member: string; place: string; elsewhere?: true }
  /** A checkpoint comes from a member on another machine; this share of it is there. */
  | { kind: "collecting"; step: number; member: string; share: number }
  /** A member could not write what it keeps for itself, its own moments perhaps: a run that is resumed there gives it others. */
  | { kind: "unkept"; member: string; step: number; error: string }
  /** A checkpoint could not be written. The run goes on. */
  | { kind: "unsaved"; step: number; error: string };

/** How a run ended. */
export interface RunOutcome {
  /** The last step that was ended. */
  steps: number;
  /** Of the last step, nats per token; NaN where there was none. */
  loss: number;
  /** Of the last evaluation; null where there was none. */
  valLoss: number | null;
  /** Counted tokens over all steps. */
  tokens: number;
  /** ReduceWindow payload that workers sent, summed over all that there were; of one that was killed, until its last sign of life. */
  bytesSent: number;
  /** ReduceWindow payload that they received. */
  bytesReceived: number;
  /** State that they took over from others. */
  stateBytes: number;
  /** SHA-256 of the parameters; empty where the run was interrupted before it began. */
  paramsHash: string;
  /**
   * Messages that were not taken, by reason: "damaged", "foreign", "malformed", "version" and "stale" by the coordinator, "stale
   * orders" and "malformed orders" by workers.
   */
  dropped: Record<string, number>;
  /** True when the run was stopped before its last step. */
  interrupted: boolean;
}

/** What comes after a step besides the next one. */
export type Duty = "evaluate" | "save";

/** Whether something that is due after every so many steps is due at a boundary: since the one before it. */
export function isDueAt(plan: RunPlan, step: number, every: number): boolean {
  return every > 0 && Math.floor(step / every) > Math.floor(boundaryBefore(plan, step) / every);
}

/** What has to be done after `step`, a boundary. A run that is interrupted saves and does not evaluate. */
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

/** Why a run ends whose last checkpoint could not be written, in words. */
export function reasonUnsaved(step: number, error: string): string {
  return `the state after step ${step}, the last, is lost: ${error}`;
}
