/**
 * The rounds of a run with parameter averaging: after its warm-up, in which gradients are averaged every step, a round of local
 * steps takes the place of a step. Rounds lie on a fixed grid of steps, so that a resumed run has the same ones; the last one ends
 * with the run.
 *
 * @module
 */

import type { Range } from "../vectors/tree.ts";
import type { OuterOptions } from "./outer_optimizer.ts";

/** A round: each member takes local steps, then its parameter delta is one leaf of the tree over the members. */
export interface Round {
  /** Number of local steps. */
  readonly localSteps: number;
  /** Micro-batches of each member, the same in each step; a member without any has no leaf. */
  readonly shares: Readonly<Record<string, Range>>;
}

/** Settings of parameter averaging (DiLoCo). */
export interface DilocoPlan {
  /** Optimizer steps that each member takes between two averagings. */
  localSteps: number;
  /** Number of first steps in which gradients are averaged instead. */
  warmupSteps: number;
  /** Settings of the outer step. */
  outer: OuterOptions;
}

/** The part of a plan that decides its rounds. */
interface Rounds {
  diloco?: DilocoPlan;
  /** The last step. */
  steps: number;
}

/**
 * Number of local steps of the round that follows a step; undefined where an ordinary step follows.
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

/** The last of the steps that are committed together: those of a round, or the single step. */
export function lastStep(first: number, localSteps = 1): number {
  return first + localSteps - 1;
}

/** Whether members' moments differ after a step: during the warm-up they are the same on all members. */
export function hasOwnMoments({ diloco }: Rounds, step: number): boolean {
  return diloco !== undefined && step > diloco.warmupSteps;
}

/** The boundary before the one at `step`: what became due since then is due now. */
export function boundaryBefore({ diloco }: Rounds, step: number): number {
  if (!diloco || step <= diloco.warmupSteps) return step - 1;
  const { localSteps, warmupSteps } = diloco;
  return step - 1 - (step - 1 - warmupSteps) % localSteps;
}
