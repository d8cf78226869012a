/**
 * Functions with a gradient of their own: where tfjs's is wrong, not finite, or makes a recorded function carry full-size
 * tensors of ones.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";

/** Value of a function of one tensor, the tensors that its gradient needs, and the gradient. */
export interface ValueAndGradient {
  /** The function's value. */
  value: tf.Tensor;
  /** Kept for the gradient. */
  saved: tf.Tensor[];
  /** Gradient for the input from the gradient for the value. */
  gradient: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor;
}

/** A function of one tensor with its own gradient; other tensors that it uses are constants. */
export function withGradient(f: (x: tf.Tensor) => ValueAndGradient): (x: tf.Tensor) => tf.Tensor {
  return tf.customGrad((x, save) => {
    const { value, saved, gradient } = f(x as tf.Tensor);
    (save as tf.GradSaveFunc)(saved);
    return { value, gradFunc: gradient };
  });
}

/** Groups whose running sums are one product with a triangular matrix. More are summed block by block. */
const BLOCK = 64;

/**
 * Running sums over the groups: entry i holds the sum of the entries up to and with it. Plain: cumsum(x, 1). Here: products
 * with a triangular matrix of ones, because XLA's running sum takes ten times as long, and tfjs's own gradient of `cumsum` is right for the last axis only.
 *
 * @param x [b, g, s, e]
 * @returns [b, g, s, e]
 */
export function sumUpTo(x: tf.Tensor): tf.Tensor {
  return withGradient((x) => ({
    value: runningSums(x, tf.lessEqual, false),
    saved: [],
    gradient: (dy) => runningSums(dy, tf.lessEqual, true),
  }))(x);
}

/**
 * Sums over the second axis of x [b, g, …].
 *
 * @param counts whether an entry counts in the sum of another: `tf.less` for those before it, `tf.lessEqual` with itself
 * @param backwards sums the entries after each one instead
 */
function runningSums(
  x: tf.Tensor,
  counts: (place: tf.Tensor, other: tf.Tensor) => tf.Tensor,
  backwards: boolean,
): tf.Tensor {
  const [b, g, ...features] = x.shape;
  const triangle = (n: number) => {
    const place = tf.range(0, n);
    return tf.cast(counts(tf.reshape(place, [1, 1, n]), tf.reshape(place, [1, n, 1])), "float32"); // [1, n, n]
  };
  const values = tf.reshape(x, [b, g, -1]); // [b, g, f]
  if (g <= BLOCK) return tf.reshape(tf.matMul(triangle(g), values, backwards), x.shape);

  const blocks = Math.ceil(g / BLOCK);
  const filled = tf.pad(values, [[0, 0], [0, blocks * BLOCK - g], [0, 0]]);
  const blocked = tf.reshape(filled, [b * blocks, BLOCK, -1]);
  const within = tf.matMul(triangle(BLOCK), blocked, backwards); // [b · blocks, BLOCK, f]
  const others = runningSums(tf.reshape(tf.sum(blocked, 1), [b, blocks, -1]), tf.less, backwards); // [b, blocks, f]
  const sums = tf.add(within, tf.reshape(others, [b * blocks, 1, -1]));
  return tf.slice(tf.reshape(sums, [b, blocks * BLOCK, ...features]), [0, 0], [b, g]);
}
