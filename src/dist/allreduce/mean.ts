/**
 * Computes one part of a mean from its encoded sums: decodes, adds in the tree's order, divides, encodes and takes the norm chunk by
 * chunk, so that each chunk stays in the processor's cache.
 *
 * @module
 */

import {
  addSlots,
  addSquares,
  CHUNK,
  clearSquares,
  divideSlot,
  type Feedback,
  sumOfSquares,
} from "../vectors/kernel.ts";
import { keyOf, type Sums } from "./partial_sums.ts";
import { BLOCK } from "../vectors/sums.ts";
import { splitOf } from "../vectors/tree.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** What a part is computed from. */
export interface PartOfMean {
  /** Sums that together are the sum over the whole batch. */
  sums: Sums;
  /** Codec of the sums and of the mean. */
  codec: VectorCodec;
  /** Leaves of the tree. */
  leaves: number;
  /** Counted tokens of the whole batch. */
  tokens: number;
  /** Number of values of the part. */
  values: number;
}

/**
 * Writes the part.
 *
 * @param into of the encoded size of the values
 * @returns sums of squares, in float64, of each block of the mean as the members decode it
 */
export function writePartOfMean(part: PartOfMean, into: Uint8Array, feedback?: Feedback): number[] {
  const { codec, values } = part;
  const squares: number[] = [];
  for (const { from, count } of meanByChunks(part)) {
    codec.store(0, into, values, from, feedback);
    if (!codec.isExact) codec.load(into, values, from, 0);
    if (from % BLOCK === 0) clearSquares();
    addSquares(0, count);
    const end = from + count;
    if (end % BLOCK === 0 || end === values) squares.push(sumOfSquares());
  }
  return squares;
}

/** The mean, chunk after chunk in the first slot of the kernel. */
export function* meanByChunks(
  { sums, codec, leaves, tokens, values }: PartOfMean,
): Generator<{ from: number; count: number }> {
  const steps = additionsOf(sums, leaves);
  for (let from = 0; from < values; from += CHUNK) {
    const count = Math.min(CHUNK, values - from);
    for (const { bytes, slot } of steps) {
      if (bytes) codec.load(bytes, values, from, slot);
      else addSlots(slot, slot + 1, count);
    }
    divideSlot(0, tokens, count);
    yield { from, count };
  }
}

/** One operation on each chunk: `bytes` are decoded into the slot; without them, the next slot is added to it. */
interface Addition {
  slot: number;
  bytes?: Uint8Array;
}

/** The operations that add up the tree, in order, without absent leaves. */
function additionsOf(sums: Sums, leaves: number): Addition[] {
  const additions: Addition[] = [];
  const visit = (lo: number, hi: number, slot: number): boolean => {
    const sum = sums.get(keyOf([lo, hi]));
    if (sum) return additions.push({ slot, bytes: sum.bytes }) > 0;
    if (hi - lo === 1) return false;
    const middle = splitOf(lo, hi);
    const isLeft = visit(lo, middle, slot);
    const isRight = visit(middle, hi, isLeft ? slot + 1 : slot);
    if (isLeft && isRight) additions.push({ slot });
    return isLeft || isRight;
  };
  visit(0, leaves, 0);
  return additions;
}
