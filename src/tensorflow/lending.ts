/**
 * Large vectors that both TensorFlow and JavaScript work on, without a copy from one to the
 * other.
 *
 * @module
 */

import type * as tf from "@tensorflow/tfjs";
import { inputIds, tensorFlowBackend } from "./backend.ts";
import { filledVector } from "./ops.ts";

/** A vector of TensorFlow's, lent to JavaScript until it is disposed. */
export class LentVector implements Disposable {
  /** Its values: what is written here is the tensor's. Empty once the vector is disposed, and so are all views of them. */
  readonly values: Float32Array<ArrayBuffer>;
  /** What owns the memory; undefined where the values are a copy. */
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

  /** Whether a part of the values is lent by this. */
  owns(part: Float32Array): boolean {
    return part.buffer === this.values.buffer;
  }

  /** Whether the values were detached, by a holder that no longer needs them. */
  get isReturned(): boolean {
    return this.values.buffer.detached;
  }

  /** The values as they are now, as a tensor of the caller's. It shares the memory where there is no copy. */
  tensor(): tf.Tensor1D {
    return this.#owner?.clone() ?? filledVector(this.values, this.values.length);
  }

  /** Takes the vector back. */
  [Symbol.dispose](): void {
    if (!this.isReturned) this.values.buffer.transfer(0); // a view that is still held becomes empty, and shows no other tensor's values
    this.#owner?.dispose();
  }
}
