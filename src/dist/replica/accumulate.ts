/**
 * Gradient accumulation: sums over subtrees of micro-batches with a report on each micro-batch, and losses of the validation
 * part. Used by workers and by single-process runs.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import { type GradientSum, sumSubtree } from "../vectors/gradient.ts";
import { type LossSum, normOf } from "../vectors/sums.ts";
import type { Replica } from "./replica.ts";

/** Contribution of one micro-batch to a sum. */
export interface MicroBatchReport {
  /** CRC-32 of the ids that were fed to the model. */
  crc: number;
  /** Sum of its losses, in nats. */
  lossSum: number;
  /** Its counted tokens. */
  tokens: number;
  /** Whether its loss and gradient are finite. */
  finite: boolean;
}

/** Loss of one micro-batch of the validation part. */
export interface MicroBatchLoss extends LossSum {
  /** Its number. */
  microBatch: number;
}

/** A sum, and the contribution of each of its micro-batches. */
export interface ReportedSum {
  /** Over all its micro-batches. */
  sum: GradientSum;
  /** One for each, in order. */
  reports: MicroBatchReport[];
  /** Time that computing it took. */
  seconds: number;
}

/** How a sum is computed. */
export interface SumOptions {
  /** Called before each micro-batch; throws to stop. */
  beforeEach?: (microBatch: number) => void;
  /** Whether each gradient is checked to be finite, for the report; unchecked it counts as finite. Default true. */
  checked?: boolean;
  /** Where the last addition writes the vector; its owner keeps it. */
  into?: Float32Array;
}

/** The gradient sum over the subtree [lo, hi) of a step, at the replica's present parameters. */
export async function computeSum(
  replica: Replica,
  step: number,
  lo: number,
  hi: number,
  { beforeEach = () => {}, checked = true, into }: SumOptions = {},
): Promise<ReportedSum> {
  const reports: MicroBatchReport[] = [];
  const startedAt = performance.now();
  const gradientOf = async (microBatch: number) => {
    await setImmediate(); // lets messages and heartbeats be handled
    beforeEach(microBatch);
    const { crc, lossSum, tokens, gradient } = await replica.gradient(step, microBatch);
    const finite = Number.isFinite(lossSum) && (!checked || await gradient.isFinite());
    reports.push({ crc, lossSum, tokens, finite });
    return { lossSum, tokens, gradient };
  };
  const sum = await sumSubtree(gradientOf, lo, hi, into);
  return { sum, reports, seconds: (performance.now() - startedAt) / 1000 };
}

/** Divides a sum by its tokens, in place, and returns the norm of the mean. Yields to the event loop before and after. */
export async function normOfMean({ gradient, tokens }: GradientSum): Promise<number> {
  await setImmediate();
  const norm = normOf(await gradient.divideBy(tokens));
  await setImmediate();
  return norm;
}

/** Losses of the validation micro-batches [lo, hi). */
export async function computeLosses(
  replica: Replica,
  lo: number,
  hi: number,
  beforeEach: (microBatch: number) => void = () => {},
): Promise<MicroBatchLoss[]> {
  const losses: MicroBatchLoss[] = [];
  for (let microBatch = lo; microBatch < hi; microBatch++) {
    await setImmediate();
    beforeEach(microBatch);
    losses.push({ microBatch, ...await replica.evaluate(microBatch) });
  }
  return losses;
}
