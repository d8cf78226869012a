/**
 * How a coordinator is watched, stopped, and put in another one's place.
 *
 * @module
 */

import type { ReachCoordinatorFaultPoint } from "../protocol/fault_points.ts";
import type { TakeLease } from "../protocol/lease.ts";
import type { DistEvent, RunRecord } from "../replica/plan.ts";
import type { CheckpointStore } from "../replica/replica.ts";
import type { ResidualStore } from "../allreduce/residuals.ts";
import type { SharedText } from "../transfer/text_transfer.ts";

/** How a coordinator goes on with a run that another one has begun. */
export interface TakeOver {
  /** Members that the run had; 0 where that is not known. They are not waited for longer than it takes to answer. */
  expected: number;
  /** Looks up what is on record up to the step that the run is continued from, and puts later records aside. */
  recall: (step: number) => RunRecord;
  /** Why the run can't be continued where no worker is left that has its state: its folder holds less than its record tells. */
  missing?: string;
}

/** How a coordination is watched and stopped. */
export interface CoordinateOptions {
  /** Stops the run: the open step is finished, a checkpoint is saved, everybody leaves. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent?: (event: DistEvent) => void;
  /** Called once workers can join. */
  onListening?: () => void;
  /** Keeps other coordinators out; without it only their own check does, whether anybody answers. */
  takeLease?: TakeLease;
  /** Goes on with a run that another coordinator has begun; where nobody is left of it, after the plan's `startStep`. */
  takeOver?: TakeOver;
  /** Keeps what encoding has lost beside the checkpoints. */
  residuals?: ResidualStore;
  /** Where checkpoints of members on other machines are kept, and which are handed out. */
  checkpoints?: CheckpointStore;
  /** The run's text, handed out to workers whose machine does not have it. */
  text?: SharedText;
  /** A wish for the end to be quick: a checkpoint that is in flight is kept on the machine that it comes from. */
  hurry?: AbortSignal;
  /** For tests: called at each fault point. */
  onFaultPoint?: ReachCoordinatorFaultPoint;
}
