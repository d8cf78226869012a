/**
 * Functions that bring their own gradient: where tfjs's is wrong, not finite, or makes a recorded function carry full-size
 * tensors of ones.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";

/** What a function of one tensor gives, what its gradient needs of that, and the gradient for one of the value. */
export interface ValueAndGradient {
  /** The function's value. */
  value: tf.Tensor;
  /** Kept until the gradient is taken, and handed to it. */
  saved: tf.Tensor[];
  /** Gradient for the input from the gradient for the value. */
  gradient: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor;
}

/** A function of one tensor that is differentiated by the gradient it brings; other tensors it uses are constants to it. */
export function withGradient(f: (x: tf.Tensor) => ValueAndGradient): (x: tf.Tensor) => tf.Tensor {
  return tf.customGrad((x, save) => {
    const { value, saved, gradient } = f(x as tf.Tensor);
    (save as tf.GradSaveFunc)(saved);
    return { value, gradFunc: gradient };
  });
}

/**
 * Running sums along an axis: entry i holds the sum of entries 0 to i. tfjs's own gradient of `cumsum` is right for the last
 * axis only.
 */
export function runningSum(x: tf.Tensor, axis: number): tf.Tensor {
  return withGradient((x) => ({
    value: tf.cumsum(x, axis),
    saved: [],
    gradient: (dy) => tf.cumsum(dy, axis, false, true),
  }))(x);
}
