/**
 * Dropout whose mask is a function of a seed.
 *
 * @module
 */

import { randomStream } from "../prng.ts";
import { statelessUniform, tf } from "../tensorflow/mod.ts";

/**
 * Sets a share `rate` of the values to zero and scales the others by 1 / (1 − rate), so that the mean stays. Without a seed
 * nothing is dropped: that is evaluation.
 *
 * @param seed two int32 numbers [2]: equal seeds and shapes drop the same places
 */
export function dropout(x: tf.Tensor, rate: number, seed: tf.Tensor1D | undefined): tf.Tensor {
  if (!seed || rate === 0) return x;
  const kept = tf.cast(tf.greaterEqual(statelessUniform(x.shape, seed), rate), "float32");
  return tf.mul(x, tf.mul(kept, 1 / (1 - rate)));
}

/** The two numbers that seed the dropout of one pass, from a seed and what the pass is for, e.g. "dropout 12 0". */
export function dropoutSeed(seed: number, purpose = "dropout"): Int32Array {
  const { word } = randomStream(seed, purpose);
  return Int32Array.of(word(0), word(1));
}

/** The seed for a layer of a model, and for a place within it, from the seed for all of it. */
export function seedAt(seed: tf.Tensor1D | undefined, layer: number, place = 0): tf.Tensor1D | undefined {
  return seed && tf.add(seed, tf.tensor1d([place, layer], "int32"));
}
