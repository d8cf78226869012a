/**
 * Where the rounds of a run lie that averages parameters: after its warm-up, in which gradients are averaged every step, a round
 * of local steps takes the place of a step. Rounds lie on a fixed grid of steps, so that a run that is resumed goes on in the
 * same ones; the last one ends with the run.
 *
 * @module
 */

import type { OuterOptions } from "./outer_optimizer.ts";

/** How parameters are averaged. */
export interface AveragingPlan {
  /** Optimizer steps that each member takes by itself before they are averaged. */
  localSteps: number;
  /** Steps, from the first on, in which gradients are averaged instead. */
  warmupSteps: number;
  /** What all replicas do with the average. */
  outer: OuterOptions;
}

/** What a run says about rounds. */
interface Rounds {
  averaging?: AveragingPlan;
  /** The last step. */
  steps: number;
}

/**
 * How many local steps the round has that follows a step; undefined where an ordinary step does.
 *
 * @example
 * ```ts
 * import { localStepsAfter } from "./rounds.ts";
 * const averaging = { localSteps: 20, warmupSteps: 100, outer: { rate: 0.7, momentum: 0.9 } };
 * const plan = { averaging, steps: 150 };
 * console.assert(localStepsAfter(plan, 99) === undefined);
 * console.assert(localStepsAfter(plan, 100) === 20 && localStepsAfter(plan, 140) === 10);
 * ```
 */
export function localStepsAfter({ averaging, steps }: Rounds, step: number): number | undefined {
  if (!averaging || step < averaging.warmupSteps) return undefined;
  const { localSteps, warmupSteps } = averaging;
  const end = step + localSteps - (step - warmupSteps) % localSteps;
  return Math.min(end, steps) - step;
}

/** The last of the steps that end at once: of a round, or the only one. */
export function lastStep(first: number, localSteps = 1): number {
  return first + localSteps - 1;
}

/** Whether members' moments differ after a step: during the warm-up everybody has the same. */
export function hasOwnMoments({ averaging }: Rounds, step: number): boolean {
  return averaging !== undefined && step > averaging.warmupSteps;
}

/** The boundary before the one at `step`: what was due since then is due now. */
export function boundaryBefore({ averaging }: Rounds, step: number): number {
  if (!averaging || step <= averaging.warmupSteps) return step - 1;
  const { localSteps, warmupSteps } = averaging;
  return step - 1 - (step - 1 - warmupSteps) % localSteps;
}
