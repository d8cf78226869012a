/**
 * What a replica computes for others: sums over subtrees of micro-batches with a report on each, and losses of the
 * validation part. Used by workers and by a run without any.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import {
  divideBy,
  type GradientSum,
  isFiniteVector,
  type LossSum,
  normOf,
  sumSubtree,
} from "../vectors/sums.ts";
import type { Replica } from "./replica.ts";

/** What one micro-batch added to a sum. */
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

/** A sum, and what each of its micro-batches added. */
export interface ReportedSum {
  /** Over all of them. */
  sum: GradientSum;
  /** One for each, in order. */
  reports: MicroBatchReport[];
  /** How long it took. */
  seconds: number;
}

/**
 * The gradient sum over the subtree [lo, hi) of a step, at the replica's present parameters.
 *
 * @param beforeEach called before each micro-batch; throws to stop
 * @param isSound says of a gradient whether it is finite, for the report
 */
export async function computeSum(
  replica: Replica,
  step: number,
  lo: number,
  hi: number,
  beforeEach: (microBatch: number) => void = () => {},
  isSound: (gradient: Float32Array) => boolean = isFiniteVector,
): Promise<ReportedSum> {
  const reports: MicroBatchReport[] = [];
  const startedAt = performance.now();
  const sum = await sumSubtree(
    async (microBatch) => {
      await setImmediate(); // messages and heartbeats get their turn
      beforeEach(microBatch);
      const { crc, lossSum, tokens, gradient } = await replica.gradient(step, microBatch);
      const finite = Number.isFinite(lossSum) && isSound(gradient);
      reports.push({ crc, lossSum, tokens, finite });
      return { lossSum, tokens, gradient };
    },
    lo,
    hi,
  );
  return { sum, reports, seconds: (performance.now() - startedAt) / 1000 };
}

/** Makes the mean of a sum, in place, and gives its norm. Timers get their turn before and after it. */
export async function normOfMean({ gradient, tokens }: GradientSum): Promise<number> {
  await setImmediate();
  const norm = normOf(divideBy(gradient, tokens));
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
