/**
 * Where the rounds of a run lie that averages parameters: after its warm-up, in which gradients are averaged every step, a round
 * of local steps takes the place of a step. Rounds lie on a fixed grid of steps, so that a run that is resumed goes on in the
 * same ones; the last one ends with the run.
 *
 * @module
 */

import type { OuterOptions } from "./outer_optimizer.ts";

/** How parameters are averaged. */
export interface DilocoPlan {
  /** Optimizer steps that each member takes by itself before they are averaged. */
  localSteps: number;
  /** Steps, from the first on, in which gradients are averaged instead. */
  warmupSteps: number;
  /** What all replicas do with the average. */
  outer: OuterOptions;
}

/** What a run says about rounds. */
interface Rounds {
  diloco?: DilocoPlan;
  /** The last step. */
  steps: number;
}

/**
 * How many local steps the round has that follows a step; undefined where an ordinary step does.
 *
 * @example
 * ```ts
 * import { localStepsAfter } from "./rounds.ts";
 * const diloco = { localSteps: 20, warmupSteps: 100, outer: { rate: 0.7, momentum: 0.9 } };
 * const plan = { diloco, steps: 150 };
 * console.assert(localStepsAfter(plan, 99) === undefined);
 * console.assert(localStepsAfter(plan, 100) === 20 && localStepsAfter(plan, 140) === 10);
 * ```
 */
export function localStepsAfter({ diloco, steps }: Rounds, step: number): number | undefined {
  if (!diloco || step < diloco.warmupSteps) return undefined;
  const { localSteps, warmupSteps } = diloco;
  const end = step + localSteps - (step - warmupSteps) % localSteps;
  return Math.min(end, steps) - step;
}

/** The last of the steps that end at once: of a round, or the only one. */
export function lastStep(first: number, localSteps = 1): number {
  return first + localSteps - 1;
}

/** Whether members' moments differ after a step: during the warm-up everybody has the same. */
export function hasOwnMoments({ diloco }: Rounds, step: number): boolean {
  return diloco !== undefined && step > diloco.warmupSteps;
}

/** The boundary before the one at `step`: what was due since then is due now. */
export function boundaryBefore({ diloco }: Rounds, step: number): number {
  if (!diloco || step <= diloco.warmupSteps) return step - 1;
  const { localSteps, warmupSteps } = diloco;
  return step - 1 - (step - 1 - warmupSteps) % localSteps;
}
