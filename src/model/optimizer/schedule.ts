/**
 * The learning rate schedule: a pure function of the step, so that a resumed run continues as if it had not stopped.
 *
 * @module
 */

/** The learning rate and its schedule. */
export interface ScheduleOptions {
  /** The rate after warming up. */
  learningRate: number;
  /** How it moves over the steps. */
  schedule: {
    /** "constant", or down to the floor on a straight line or on half a cosine. */
    kind: "constant" | "linear" | "cosine";
    /** Steps in which the rate rises from 0 on a straight line. */
    warmup: number;
    /** The step at which the rate has come down to the floor, more than `warmup`. A run's own length doesn't move it. */
    steps?: number;
    /** The floor, as a share of the highest rate. */
    floor: number;
  };
}

/**
 * Learning rate of a step.
 *
 * @param step from 1 on
 * @throws {RangeError} when a schedule that comes down has no length beyond its warm-up
 *
 * @example
 * ```ts
 * import { learningRate } from "./schedule.ts";
 * const options = { learningRate: 1e-3, schedule: { kind: "cosine", warmup: 10, steps: 110, floor: 0 } } as const;
 * console.assert(learningRate(options, 5) === 5e-4 && Math.abs(learningRate(options, 60) - 5e-4) < 1e-9);
 * ```
 */
export function learningRate({ learningRate: peak, schedule }: ScheduleOptions, step: number): number {
  const { kind, warmup, steps = 0, floor } = schedule;
  if (kind !== "constant" && steps <= warmup) {
    throw new RangeError(
      `A ${kind} schedule needs a length beyond its warm-up of ${warmup} steps, not ${steps}.`,
    );
  }
  if (step < warmup) return peak * step / warmup;
  if (kind === "constant") return peak;
  const done = Math.min(1, (step - warmup) / (steps - warmup));
  const left = kind === "linear" ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return peak * (floor + (1 - floor) * left);
}
