/**
 * The loss: the sum of the cross entropy over counted tokens. Sums, not means, so that micro-batches with different numbers of
 * counted tokens add up to the batch.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { withGradient } from "./gradients.ts";

/** Label of a token that is not counted (PyTorch's `ignore_index`). */
export const NOT_COUNTED: number = -1;

/** How many labels count: scalar, int32. labels is [b, n]. */
export function countTokens(labels: tf.Tensor): tf.Scalar {
  return tf.sum(tf.cast(tf.greater(labels, NOT_COUNTED), "int32")) as tf.Scalar;
}

/**
 * Sum of the cross entropy in nats over the tokens whose label is not −1: scalar.
 *
 * @param logits [b, n, v]
 * @param labels [b, n], int32: −1 or below v
 */
export function crossEntropySum(logits: tf.Tensor, labels: tf.Tensor): tf.Scalar {
  const v = logits.shape[2]!;
  return withGradient((logits) => {
    const counted = tf.expandDims(tf.cast(tf.greater(labels, NOT_COUNTED), "float32"), -1); // [b, n, 1]
    const target = tf.oneHot(tf.cast(labels, "int32"), v); // [b, n, v], zeros for −1
    const shifted = tf.sub(logits, tf.max(logits, -1, true));
    const exponentials = tf.exp(shifted);
    const sum = tf.sum(exponentials, -1, true); // [b, n, 1]
    const atTarget = tf.sum(tf.mul(shifted, target), -1, true);
    const probabilities = tf.div(exponentials, sum);
    return {
      value: tf.sum(tf.mul(tf.sub(tf.log(sum), atTarget), counted)),
      saved: [tf.mul(tf.sub(probabilities, target), counted)],
      gradient: (dy, [difference]) => tf.mul(difference, dy),
    };
  })(logits) as tf.Scalar;
}
