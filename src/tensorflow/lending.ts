/**
 * Large vectors whose memory TensorFlow and JavaScript share, instead of copying them.
 *
 * @module
 */

import type * as tf from "@tensorflow/tfjs";
import { inputIds, tensorFlowBackend } from "./backend.ts";
import { filledVector } from "./ops.ts";

/** A TensorFlow vector whose memory JavaScript may read and write until this is disposed. */
export class LentVector implements Disposable {
  /** The tensor's values, which can be changed. Empty once the vector is disposed, as are all views of them. */
  readonly values: Float32Array<ArrayBuffer>;
  /** The tensor that owns the memory; undefined where the values are a copy. */
  readonly #owner: tf.Tensor1D | undefined;

  private constructor(values: Float32Array<ArrayBuffer>, owner?: tf.Tensor1D) {
    this.values = values;
    this.#owner = owner;
  }

  /**
   * Lends a vector, which nothing else may use or dispose from then on. On a GPU, and in tfjs without TensorFlow, its values are copied.
   *
   * @example
   * ```ts
   * import { LentVector } from "./lending.ts";
   * import { initBackend, tf } from "./mod.ts";
   * await initBackend();
   * using lent = await LentVector.of(tf.square(tf.tensor1d([1, 2, 3])));
   * lent.values[0] = 5;
   * console.assert(lent.tensor().dataSync().join() === "5,4,9");
   * ```
   */
  static async of(vector: tf.Tensor1D): Promise<LentVector> {
    const shared = tensorFlowBackend()?.binding.sharedValues(inputIds([vector])[0]);
    if (shared) return new LentVector(shared, vector);
    const copy = await vector.data<"float32">() as Float32Array<ArrayBuffer>;
    vector.dispose();
    return new LentVector(copy);
  }

  /** The current values as a tensor, which the caller disposes. It shares the memory unless the values are a copy. */
  tensor(): tf.Tensor1D {
    return this.#owner?.clone() ?? filledVector(this.values, this.values.length);
  }

  /** Ends the sharing, once and for all. */
  [Symbol.dispose](): void {
    const { buffer } = this.values;
    if (!buffer.detached) buffer.transfer(0); // a view that is still held becomes empty, and shows no other tensor's values
    this.#owner?.dispose();
  }
}
