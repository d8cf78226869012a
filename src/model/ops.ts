/**
 * Stand-ins until src/tensorflow/ops.ts is there.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";

/** Rows of a table [v, d] by ids [b, n]. */
export function gatherRows(table: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  return tf.gather(table, ids as tf.Tensor2D);
}

/** Uniform numbers in [0, 1) as a function of shape and seed [2]. */
export function statelessUniform(shape: number[], seed: tf.Tensor1D): tf.Tensor {
  const [a, b] = seed.dataSync();
  return tf.randomUniform(shape, 0, 1, "float32", `${a},${b}` as unknown as number);
}
