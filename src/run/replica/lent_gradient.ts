/**
 * A gradient in memory that TensorFlow and JavaScript share: it is added to in place, and goes back to TensorFlow without a copy.
 *
 * @module
 */

import { HostVector } from "../../dist/mod.ts";
import type { LentVector, tf } from "../../tensorflow/mod.ts";

/** The first values of a lent vector. */
export class LentGradient extends HostVector {
  readonly #lent: LentVector;

  /** Takes over a vector that may be longer, with zeros at its end. */
  constructor(lent: LentVector, size: number) {
    super(lent.values.subarray(0, size));
    this.#lent = lent;
  }

  /** The whole vector with its present values, which the caller disposes. */
  tensor(): tf.Tensor1D {
    return this.#lent.tensor();
  }

  override release(): void {
    this.#lent[Symbol.dispose]();
  }
}
