/**
 * The norms before the layers and before the logits. Their gradients are finite everywhere, also for rows of zeros.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { withGradient } from "./gradients.ts";
import type { Norm } from "./parameters.ts";

const EPSILON = 1e-5;

/** Mean over the features, with that dimension kept. */
const meanOf = (x: tf.Tensor) => tf.mean(x, -1, true);

/**
 * Normalizes each row of x [..., d] to mean 0 and variance 1. Plain: (x − mean(x)) / √(var(x) + ε). Here: a product with the
 * reciprocal of the root, because XLA does not vectorize the division.
 */
const standardize = withGradient((x) => {
  const centred = tf.sub(x, meanOf(x));
  const scale = tf.div(1, tf.sqrt(tf.add(meanOf(tf.square(centred)), EPSILON))); // [..., 1]
  const value = tf.mul(centred, scale);
  const gradient = (dy: tf.Tensor, [value, scale]: tf.Tensor[]) => {
    const along = tf.mul(value, meanOf(tf.mul(dy, value))); // the component that would change the variance
    return tf.mul(tf.sub(tf.sub(dy, meanOf(dy)), along), scale);
  };
  return { value, saved: [value, scale], gradient };
});

/** Divides each row of x [..., d] by its root mean square. Plain: x / max(rms(x), ε). Here: a product with the reciprocal. */
const byRootMeanSquare = withGradient((x) => {
  const root = tf.sqrt(meanOf(tf.square(x))); // [..., 1]
  const value = tf.mul(x, tf.div(1, tf.maximum(root, EPSILON)));
  const gradient = (dy: tf.Tensor, [value, root]: tf.Tensor[]) => {
    const divisorMoves = tf.cast(tf.greaterEqual(root, EPSILON), "float32");
    const along = tf.mul(value, tf.mul(meanOf(tf.mul(dy, value)), divisorMoves));
    return tf.mul(tf.sub(dy, along), tf.div(1, tf.maximum(root, EPSILON)));
  };
  return { value, saved: [value, root], gradient };
});

/** LayerNorm: mean 0 and variance 1 over the features, then weight and bias [d]. x is [..., d]. */
export function layerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  return tf.add(tf.mul(standardize(x), weight), bias);
}

/** ScaleNorm: x [..., d] by its root mean square, at least 1e-5, times one scalar g [1] (Nguyen and Salazar, 2019). */
export function scaleNorm(x: tf.Tensor, g: tf.Tensor): tf.Tensor {
  return tf.mul(byRootMeanSquare(x), g);
}

/** LayerNorm or ScaleNorm of x [..., d], by the parameters given. */
export function normalize(x: tf.Tensor, norm: Norm<tf.Tensor>): tf.Tensor {
  return "g" in norm ? scaleNorm(x, norm.g) : layerNorm(x, norm.weight, norm.bias);
}
