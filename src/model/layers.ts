/**
 * Building blocks of GAU and FLASH layers.
 *
 * @module
 */

import { tf, timesSigmoid } from "../tensorflow/mod.ts";
import { withGradient } from "./gradients.ts";
import type { Linear, OffsetScale } from "./parameters.ts";

/** A linear map of the last dimension: x [..., in] to [..., out]. */
export function linear(x: tf.Tensor, { weight, bias }: Linear<tf.Tensor>): tf.Tensor {
  const [outputs, inputs] = weight.shape;
  const rows = tf.reshape(x, [-1, inputs]) as tf.Tensor2D;
  const mapped = tf.add(tf.matMul(rows, weight as tf.Tensor2D, false, true), bias);
  return tf.reshape(mapped, [...x.shape.slice(0, -1), outputs]);
}

/** A linear map as two, each with half of the outputs: so their gradients need not be joined. */
export function halves({ weight, bias }: Linear<tf.Tensor>): Linear<tf.Tensor>[] {
  const [weights, biases] = [tf.split(weight, 2), tf.split(bias, 2)];
  return weights.map((weight, i) => ({ weight, bias: biases[i] }));
}

/**
 * SiLU. Plain: x · sigmoid(x). Here: a quotient, which XLA computes once however many use it; a product it would compute again for each.
 * Its gradient, dy · sigmoid(x) · (1 + x · sigmoid(−x)), computes the sigmoid again, from another exponential, so that XLA
 * neither keeps it from the forward pass nor splits that in two: memory is slower than arithmetic.
 */
export const silu: (x: tf.Tensor) => tf.Tensor = withGradient((x) => ({
  value: timesSigmoid(x, x),
  saved: [x],
  gradient: (dy, [x]) => {
    const opposite = tf.neg(x); // sigmoid(−x) is 1 − sigmoid(x)
    return tf.mul(tf.sub(dy, timesSigmoid(dy, opposite)), tf.add(timesSigmoid(x, opposite), 1));
  },
}));

/** One scaled and shifted copy of x [b, n, s] per head: [heads, b, n, s]. */
export function heads(x: tf.Tensor, { gamma, beta }: OffsetScale<tf.Tensor>): tf.Tensor {
  const [count, s] = gamma.shape;
  const perHead = [count, 1, 1, s];
  return tf.add(tf.mul(tf.expandDims(x, 0), tf.reshape(gamma, perHead)), tf.reshape(beta, perHead));
}

/**
 * Takes the first half of the features of x [b, n, d] from the token before.
 *
 * @param before what the first token takes [b, 1, d / 2]; zeros by default
 */
export function shiftTokens(x: tf.Tensor, before?: tf.Tensor): tf.Tensor {
  const [b, n, d] = x.shape;
  const [moving, staying] = tf.split(x, 2, -1);
  const first = before ?? tf.zeros([b, 1, d / 2]);
  const moved = n === 1 ? first : tf.concat([first, tf.slice(moving, [0, 0, 0], [b, n - 1, d / 2])], 1);
  return tf.concat([moved, staying], -1);
}

/**
 * Ones where a query may see a key, itself and the ones before, else zeros: [n, n]. Built of two ranges, so that a recorded
 * function holds 2n numbers and not n².
 */
export function causalMask(n: number): tf.Tensor2D {
  const position = tf.tensor1d(Float32Array.from({ length: n }, (_, i) => i));
  const seen = tf.lessEqual(tf.reshape(position, [1, n]), tf.reshape(position, [n, 1]));
  return tf.cast(seen, "float32") as tf.Tensor2D;
}

/**
 * Sets the values of masked tokens to zero: x [b, n, e], mask [b, n] with ones or true for tokens that count. A token whose
 * value is zero adds nothing to any sum over keys, in the quadratic part as in the linear one.
 */
export function maskValues(x: tf.Tensor, mask: tf.Tensor | undefined): tf.Tensor {
  return mask ? tf.mul(x, tf.expandDims(tf.cast(mask, "float32"), -1)) : x;
}

/** How many tokens the mask leaves in each sequence, at least 1: [b, 1, 1]. */
export function maskedLength(mask: tf.Tensor): tf.Tensor {
  return tf.expandDims(tf.maximum(tf.sum(tf.cast(mask, "float32"), 1, true), 1), -1);
}
