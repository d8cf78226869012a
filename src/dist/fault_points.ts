/**
 * Named places where a test can let a worker die.
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
