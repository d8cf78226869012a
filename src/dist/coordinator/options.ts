/**
 * Options of a coordinator: callbacks, signals, and failover.
 *
 * @module
 */

import type { ReachCoordinatorFaultPoint } from "../protocol/fault_points.ts";
import type { TakeLease } from "../protocol/lease.ts";
import type { DistEvent, RunRecord } from "../replica/plan.ts";
import type { CheckpointStore } from "../replica/replica.ts";
import type { ResidualStore } from "../allreduce/residuals.ts";
import type { SharedText } from "../transfer/text_transfer.ts";

/** How a coordinator continues a run that another one has begun. */
export interface TakeOver {
  /** Members that the run had; 0 where that is not known. Each is waited for only as long as it needs to answer. */
  expected: number;
  /** Looks up the record up to the step that the run continues from, and sets later records aside. */
  recall: (step: number) => RunRecord;
  /** Why the run can't continue where no worker is left that has its state: its newest checkpoint is older than its record. */
  missing?: string;
}

/** How a coordinator reports and is stopped. */
export interface CoordinateOptions {
  /** Stops the run: the open step is finished, a checkpoint is saved, all members leave. */
  signal?: AbortSignal;
  /** Gets each event. */
  onEvent?: (event: DistEvent) => void;
  /** Called once workers can join. */
  onListening?: () => void;
  /** Takes the lease that excludes other coordinators; without one they only check whether a coordinator answers. */
  takeLease?: TakeLease;
  /** Lets `onClosed` know the name of each connection to the bus that its client closes; where the bus tells none, probes must do. */
  watchConnections?: (onClosed: (name: string) => void) => Promise<void>;
  /** Continues a run that another coordinator has begun; where no member is left, from the plan's `startStep`. */
  takeOver?: TakeOver;
  /** Saves residuals (error feedback) beside the checkpoints. */
  residuals?: ResidualStore;
  /** Where checkpoints of members on other machines are kept, and which are handed out. */
  checkpoints?: CheckpointStore;
  /** The run's text, handed out to workers whose machine does not have it. */
  text?: SharedText;
  /** False: sums and means of members of this machine travel as those of others do. */
  sharesMemory?: boolean;
  /** Makes the end quick: a checkpoint in flight is kept on the machine that it comes from. */
  hurry?: AbortSignal;
  /** For tests: called at each fault point. */
  onFaultPoint?: ReachCoordinatorFaultPoint;
}
