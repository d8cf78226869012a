/**
 * The arithmetic of the all-reduce on arrays, in plain float32: WebAssembly keeps subnormal numbers, TensorFlow flushes them. Losses and
 * tokens are added in the same order in float64.
 *
 * @module
 */

import {
  addSlots,
  addSquares,
  areFiniteIn,
  CHUNK,
  clearSquares,
  divideAndSquare,
  loadValues,
  sumOfSquares,
  valuesIn,
} from "./kernel.ts";
import { splitOf } from "./tree.ts";

/** Loss of a micro-batch, or of several. */
export interface LossSum {
  /** Sum of the losses of the counted tokens, in nats (float64). */
  lossSum: number;
  /** How many tokens were counted. */
  tokens: number;
}

/**
 * Values in a block of the norm. The norm is defined over whole blocks in order, so that it does not depend on how the
 * vector was cut into parts, as long as parts are whole blocks.
 */
export const BLOCK = 65_536;

/** A vector in chunks of the kernel, in order. */
function* chunksOf(values: Float32Array): Generator<Float32Array> {
  for (let from = 0; from < values.length; from += CHUNK) yield values.subarray(from, from + CHUNK);
}

/** Writes the sum of `left` and `right`, by default in place of `left`. */
export function addInto(left: Float32Array, right: Float32Array, into: Float32Array = left): void {
  let from = 0;
  for (const chunk of chunksOf(left)) {
    loadValues(chunk, 0);
    loadValues(right.subarray(from, from + chunk.length), 1);
    addSlots(0, 1, chunk.length);
    into.set(valuesIn(0, chunk.length), from);
    from += chunk.length;
  }
}

/** Divides a sum by its tokens, in place: the weighted mean. Returns its sums of squares, as {@linkcode blockSquares}. */
export function divideBy(sum: Float32Array, tokens: number): number[] {
  return squaresOfBlocks(sum, (chunk) => {
    divideAndSquare(0, tokens, chunk.length);
    chunk.set(valuesIn(0, chunk.length));
  });
}

/** Sums of squares, in float64, of each block of values. */
export function blockSquares(values: Float32Array): number[] {
  return squaresOfBlocks(values, (chunk) => addSquares(0, chunk.length));
}

/** The sum of squares of each block, from what `add` adds of its chunks, each in the kernel's first slot during the call. */
function squaresOfBlocks(values: Float32Array, add: (chunk: Float32Array) => void): number[] {
  const sums: number[] = [];
  for (let from = 0; from < values.length; from += BLOCK) {
    clearSquares();
    for (const chunk of chunksOf(values.subarray(from, from + BLOCK))) {
      loadValues(chunk, 0);
      add(chunk);
    }
    sums.push(sumOfSquares());
  }
  return sums;
}

/** Euclidean norm from the sums of squares of all blocks, in order. */
export function normOf(squares: readonly number[]): number {
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
}

/** Whether all values are finite. */
export function isFiniteVector(values: Float32Array): boolean {
  for (const chunk of chunksOf(values)) {
    loadValues(chunk, 0);
    if (!areFiniteIn(0, chunk.length)) return false;
  }
  return true;
}

/** The sum of [lo, hi) of a list of losses, in the tree's order; zero where it is empty. */
export function addLosses(losses: readonly LossSum[], lo = 0, hi: number = losses.length): LossSum {
  if (hi <= lo) return { lossSum: 0, tokens: 0 };
  if (hi - lo === 1) return { lossSum: losses[lo].lossSum, tokens: losses[lo].tokens };
  const middle = splitOf(lo, hi);
  const left = addLosses(losses, lo, middle), right = addLosses(losses, middle, hi);
  return { lossSum: left.lossSum + right.lossSum, tokens: left.tokens + right.tokens };
}
