/**
 * Named places where a test can make a worker or a coordinator fail.
 *
 * @module
 */

/**
 * A place in a worker's step: before a micro-batch is computed, before the first part of its sums is sent, between two
 * parts, after the last one, and before the mean is applied.
 */
export type FaultPoint = "before-forward" | "before-upload" | "mid-upload" | "after-upload" | "before-apply";

/** Called at a fault point of a step; may throw, or end the process. */
export type ReachFaultPoint = (point: FaultPoint, step: number) => void;

/**
 * A place in a coordinator's step: when the mean is complete and the commit on record, but not sent; when it was sent; when
 * members were told to evaluate, to save, and to pin a state.
 */
export type CoordinatorFaultPoint = "before-commit" | "after-commit" | "evaluating" | "saving" | "pinning";

/** Called at a coordinator's fault point of a step; may throw, or end the process. */
export type ReachCoordinatorFaultPoint = (point: CoordinatorFaultPoint, step: number) => void;
