/**
 * One part of a mean, of its sums as they came: read, added in the tree's order, divided, encoded and measured chunk by chunk, so
 * that all of a chunk is done while it is in the processor's cache.
 *
 * @module
 */

import { addSlots, CHUNK, divideSlot, type Feedback, squaresOf } from "../vectors/kernel.ts";
import { keyOf, type Sums } from "./partial_sums.ts";
import { BLOCK } from "../vectors/sums.ts";
import { splitOf } from "../vectors/tree.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** What a part is made of. */
export interface PartOfMean {
  /** Make up the sum over the whole batch. */
  sums: Sums;
  /** Wrote the sums, and writes the mean. */
  codec: VectorCodec;
  /** Leaves of the tree. */
  leaves: number;
  /** Of the whole batch. */
  tokens: number;
  /** How many there are. */
  values: number;
}

/**
 * Writes the part.
 *
 * @param into as many bytes as the codec has for the values
 * @returns sums of squares, in float64, of each block of what the members will read
 */
export function writePartOfMean(part: PartOfMean, into: Uint8Array, feedback?: Feedback): number[] {
  const { codec, values } = part;
  const squares = new Array<number>(Math.ceil(values / BLOCK)).fill(0);
  for (const { from, count } of meanByChunks(part)) {
    codec.store(0, into, values, from, feedback);
    if (!codec.isExact) codec.load(into, values, from, 0);
    squares[Math.floor(from / BLOCK)] += squaresOf(0, count);
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

/** What is done with each chunk: bytes are read into a slot, or without any the next slot is added to it. */
interface Addition {
  slot: number;
  bytes?: Uint8Array;
}

/** The tree in the order in which it is added up, without leaves that nothing has come from. */
function additionsOf(sums: Sums, leaves: number): Addition[] {
  const additions: Addition[] = [];
  const visit = (lo: number, hi: number, slot: number): boolean => {
    const bytes = sums.get(keyOf([lo, hi]));
    if (bytes) return additions.push({ slot, bytes }) > 0;
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
