/**
 * How a worker takes part in a run, and what it tells meanwhile.
 *
 * @module
 */

import type { ReachFaultPoint } from "../protocol/fault_points.ts";
import type { ResidualStore } from "../allreduce/residuals.ts";

/** What a worker tells while it works. */
export type WorkerEvent =
  | { kind: "joined" }
  /** Nobody coordinates the run: this worker waits for another coordinator. */
  | { kind: "alone" }
  /** It has no connection to the bus, or has one again. */
  | { kind: "cut off"; isCutOff: boolean }
  /** It is no member (any more), and joins again. */
  | { kind: "out" }
  /** What its encoding has lost is not made up for, or would not be after a resume, and why. */
  | { kind: "residualsDropped"; reason: string }
  /** A checkpoint that is not in the run's folder is kept on this machine. */
  | { kind: "kept"; step: number; place: string }
  | { kind: "applied"; step: number; apply: boolean; loss: number };

/** How a worker takes part. */
export interface ServeWorkerOptions {
  /** Name of the run. */
  run: string;
  /** Name of this worker, another one for each: 1 to 64 letters, digits, _ and -. */
  member: string;
  /** Identity of the run. */
  id: string;
  /** Hash of the configuration that the replica was built from. */
  configHash: string;
  /** Whether this is the machine where the run was started: its members write checkpoints into the run's folder. */
  atHome: boolean;
  /** Whether a member elsewhere also writes the checkpoints that it hands to the coordinator. */
  keepsCheckpoints?: boolean;
  /** Keeps what encoding has lost beside the checkpoints. */
  residuals?: ResidualStore;
  /** Asks to leave: others go on, and the last one stays until its state is saved. */
  signal?: AbortSignal;
  /** A wish to leave quickly: a checkpoint that is in flight is kept on this machine. */
  hurry?: AbortSignal;
  /** Gets what happens. */
  onEvent?: (event: WorkerEvent) => void;
  /** For tests: called at each fault point. */
  onFaultPoint?: ReachFaultPoint;
}
