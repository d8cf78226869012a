/**
 * Gradients in memory that TensorFlow and JavaScript share: they are added in place, and go back to TensorFlow without a copy.
 *
 * @module
 */

import { type GradientVector, HostVector } from "../../dist/mod.ts";
import { filledVector, type LentVector, type tf } from "../../tensorflow/mod.ts";

/** The first values of a lent vector, which is returned by the release. */
export class LentGradient extends HostVector {
  readonly #lent: LentVector;

  /** A gradient of this many values; what follows them are zeros. */
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

/**
 * A mean as a tensor of this length, which the caller disposes: that of a lent gradient, or a copy.
 *
 * @throws what the mean's `assertWhole` throws
 */
export async function meanTensor(mean: GradientVector, length: number): Promise<tf.Tensor1D> {
  if (mean instanceof LentGradient) return mean.tensor();
  const host = await mean.toHost();
  const copy = filledVector(host.values, length);
  try {
    host.assertWhole();
    return copy;
  } catch (error) {
    copy.dispose();
    throw error;
  }
}
