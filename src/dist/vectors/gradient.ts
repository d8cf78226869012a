/**
 * Gradients as vectors that are added and divided where they are: a replica may keep its own outside of this process's memory. Those in
 * memory are {@linkcode HostVector}s.
 *
 * @module
 */

import { addInto, divideBy, isFiniteVector, type LossSum } from "./sums.ts";
import { splitOf } from "./tree.ts";

/** A gradient, or a sum or mean of gradients, in Layout order. What reads its values takes time where they have to be fetched. */
export interface GradientVector {
  /** Whether all values are finite. */
  isFinite(): Promise<boolean>;
  /**
   * The sum of this vector and `right`, each value rounded once. Both are given up: the sum takes the place of one of them.
   *
   * @param into where the sum is written instead, in the same pass; its owner keeps it
   */
  add(right: GradientVector, into?: Float32Array): Promise<GradientVector>;
  /** Divides by tokens, in place: the weighted mean. Returns its sums of squares, as `blockSquares` in `sums.ts`. */
  divideBy(tokens: number): Promise<number[]>;
  /**
   * The same values in memory. This vector is given up: it may be the result.
   *
   * @param into where they are written; its owner keeps it
   */
  toHost(into?: Float32Array): Promise<HostVector>;
  /** Frees its memory, as often as it is called. */
  release(): void;
}

/** A vector in memory that is its own. */
export class HostVector implements GradientVector {
  /** A vector of these values, which are not copied. */
  constructor(readonly values: Float32Array = new Float32Array()) {}

  isFinite(): Promise<boolean> {
    return Promise.resolve(isFiniteVector(this.values));
  }

  async add(right: GradientVector, into?: Float32Array): Promise<HostVector> {
    const other = await right.toHost();
    addInto(this.values, other.values, into);
    other.release();
    if (!into) return this;
    this.release();
    return new BorrowedVector(into);
  }

  divideBy(tokens: number): Promise<number[]> {
    return Promise.resolve(divideBy(this.values, tokens));
  }

  // deno-lint-ignore require-await -- what assertWhole throws is to be a rejection
  async toHost(into?: Float32Array): Promise<HostVector> {
    if (!into) return this;
    into.set(this.values);
    this.assertWhole();
    this.release();
    return new BorrowedVector(into);
  }

  /** Throws where the values may have been overwritten. Who has used them asks afterwards, and before anything depends on them. */
  assertWhole(): void {}

  /** V8 collects a small object without haste, and does not see the 50 MB that hang on it: the memory is given back at once. */
  release(): void {
    const buffer = this.values.buffer as ArrayBuffer;
    if (!buffer.detached) buffer.transfer(0);
  }
}

/** A vector in memory that belongs to someone else, who may overwrite it. */
export class BorrowedVector extends HostVector {
  /**
   * A vector of these values, which are not copied.
   *
   * @param check throws where they may have been overwritten
   */
  constructor(values: Float32Array, readonly check: () => void = () => {}) {
    super(values);
  }

  override assertWhole(): void {
    this.check();
  }

  override release(): void {}
}

/** Contribution of one micro-batch, or of a subtree of micro-batches, to a step: sums over counted tokens, never means. */
export interface GradientSum extends LossSum {
  /** Gradient of `lossSum`. */
  gradient: GradientVector;
}

/**
 * The sum over the subtree [lo, hi), from its micro-batches in order, holding one vector per level of the tree.
 *
 * @param gradientOf gradient sum of one micro-batch; its vector is given up
 * @param into where the last addition writes the vector; its owner keeps it
 */
export async function sumSubtree(
  gradientOf: (microBatch: number) => Promise<GradientSum>,
  lo: number,
  hi: number,
  into?: Float32Array,
): Promise<GradientSum> {
  if (hi - lo === 1) {
    const { lossSum, tokens, gradient } = await gradientOf(lo);
    return { lossSum, tokens, gradient: into ? await gradient.toHost(into) : gradient };
  }
  const middle = splitOf(lo, hi);
  const left = await sumSubtree(gradientOf, lo, middle);
  const right = await sumSubtree(gradientOf, middle, hi);
  return {
    lossSum: left.lossSum + right.lossSum,
    tokens: left.tokens + right.tokens,
    gradient: await left.gradient.add(right.gradient, into),
  };
}
