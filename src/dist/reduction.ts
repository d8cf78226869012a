/**
 * The arithmetic of averaging, in plain float32: JavaScript keeps subnormal numbers, TensorFlow flushes them. Workers and runs
 * without any use these functions, who averages the same operations in `codecs/kernel.ts`. Losses and tokens are added in the
 * same order in float64.
 *
 * @module
 */

import type { GradientSum, LossSum } from "./replica.ts";
import { splitOf } from "./tree.ts";

/**
 * Values in a block of the norm. The norm is defined over whole blocks in order, so that it does not depend on how the
 * vector was cut into parts, as long as parts are whole blocks.
 */
export const BLOCK = 65_536;

/** Adds `right` to `left`, in place. */
export function addInto(left: Float32Array, right: Float32Array): void {
  for (let i = 0; i < left.length; i++) left[i] += right[i];
}

/**
 * Gives the memory of a vector that nobody needs any more back at once. V8 collects a small object without haste, and does
 * not see the 50 MB that hang on it.
 */
export function release(vector: Float32Array): void {
  (vector.buffer as ArrayBuffer).transfer(0);
}

/** Divides a sum by its tokens, in place: the weighted mean. */
export function divideBy(sum: Float32Array, tokens: number): void {
  for (let i = 0; i < sum.length; i++) sum[i] /= tokens;
}

/** Sums of squares, in float64, of each block of values. */
export function blockSquares(values: Float32Array): number[] {
  const sums: number[] = [];
  for (let from = 0; from < values.length; from += BLOCK) {
    const to = Math.min(from + BLOCK, values.length);
    let sum = 0;
    for (let i = from; i < to; i++) sum += values[i] * values[i];
    sums.push(sum);
  }
  return sums;
}

/** Euclidean norm from the sums of squares of all blocks, in order. */
export function normOf(squares: readonly number[]): number {
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
}

/** Whether all values are finite. */
export function isFiniteVector(values: Float32Array): boolean {
  let zero = 0;
  for (let i = 0; i < values.length; i++) zero += values[i] * 0; // NaN from the first value that is not finite
  return zero === 0;
}

/** The sum of [lo, hi) of a list of losses, in the tree's order; zero where it is empty. */
export function addLosses(losses: readonly LossSum[], lo = 0, hi: number = losses.length): LossSum {
  if (hi <= lo) return { lossSum: 0, tokens: 0 };
  if (hi - lo === 1) return { lossSum: losses[lo].lossSum, tokens: losses[lo].tokens };
  const middle = splitOf(lo, hi);
  const left = addLosses(losses, lo, middle), right = addLosses(losses, middle, hi);
  return { lossSum: left.lossSum + right.lossSum, tokens: left.tokens + right.tokens };
}

/**
 * The sum over the subtree [lo, hi), from its micro-batches in order, holding one vector per level of the tree.
 *
 * @param gradientOf gradient sum of one micro-batch; its vector is overwritten
 */
export async function sumSubtree(
  gradientOf: (microBatch: number) => Promise<GradientSum>,
  lo: number,
  hi: number,
): Promise<GradientSum> {
  if (hi - lo === 1) return await gradientOf(lo);
  const middle = splitOf(lo, hi);
  const left = await sumSubtree(gradientOf, lo, middle);
  const right = await sumSubtree(gradientOf, middle, hi);
  addInto(left.gradient, right.gradient);
  release(right.gradient);
  return {
    lossSum: left.lossSum + right.lossSum,
    tokens: left.tokens + right.tokens,
    gradient: left.gradient,
  };
}
