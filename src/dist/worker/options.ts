/**
 * Options of a worker, and the events that it reports.
 *
 * @module
 */

import type { ReachFaultPoint } from "../protocol/fault_points.ts";
import type { ResidualStore } from "../allreduce/residuals.ts";

/** Events of a worker. */
export type WorkerEvent =
  | { kind: "joined" }
  /** No coordinator serves the run: this worker waits for another one. */
  | { kind: "alone" }
  /** It has no connection to the bus, or has one again. */
  | { kind: "cut off"; isCutOff: boolean }
  /** It is not a member (any more), and joins again. */
  | { kind: "out" }
  /** Sums and means travel, since memory can't be shared with the processes of this machine, and why. */
  | { kind: "by messages"; reason: string }
  /** Residuals (error feedback) were dropped, or would be after a resume, and why. */
  | { kind: "residualsDropped"; reason: string }
  /** A checkpoint that is not in the run's folder is kept on this machine. */
  | { kind: "kept"; step: number; place: string }
  /** A step was applied: one of `tokens` tokens in `microBatches` micro-batches, of which `share` were assigned to this worker. */
  | {
    kind: "applied";
    step: number;
    apply: boolean;
    loss: number;
    tokens: number;
    share: number;
    microBatches: number;
  };

/** How a worker takes part. */
export interface ServeWorkerOptions {
  /** Name of the run. */
  run: string;
  /** Name of this worker, unique in the run: 1 to 64 letters, digits, _ and -. */
  member: string;
  /** Distinguishes this process from another one of the same name; a random one by default. */
  nonce?: string;
  /** Identity of the run. */
  id: string;
  /** Hash of the configuration that the replica was built from. */
  configHash: string;
  /** Whether this is the machine where the run was started: its members write checkpoints into the run's folder. */
  atHome: boolean;
  /** Whether a member elsewhere also writes the checkpoints that it hands to the coordinator. */
  keepsCheckpoints?: boolean;
  /** False: its sums and means travel as those of members elsewhere do. */
  sharesMemory?: boolean;
  /** Saves residuals (error feedback) beside the checkpoints. */
  residuals?: ResidualStore;
  /** Asks to leave: the other members continue, and the last one stays until its state is saved. */
  signal?: AbortSignal;
  /** Leaves quickly: a checkpoint in flight is kept on this machine. */
  hurry?: AbortSignal;
  /** Gets each event. */
  onEvent?: (event: WorkerEvent) => void;
  /** For tests: called at each fault point. */
  onFaultPoint?: ReachFaultPoint;
}
