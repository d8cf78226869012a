/**
 * Dropout with a mask that is a function of a seed.
 *
 * @module
 */

import { randomStream } from "../prng.ts";
import { statelessUniform, tf } from "../tensorflow/mod.ts";

/**
 * Sets each value to zero with probability `rate` and scales the others by 1 / (1 − rate). Without a seed, in evaluation,
 * nothing is dropped.
 *
 * @param seed two int32 numbers [2]: equal seeds and shapes drop the same places
 */
export function dropout(x: tf.Tensor, rate: number, seed: tf.Tensor1D | undefined): tf.Tensor {
  if (!seed || rate === 0) return x;
  const kept = tf.cast(tf.greaterEqual(statelessUniform(x.shape, seed), rate), "float32");
  return tf.mul(x, tf.mul(kept, 1 / (1 - rate)));
}

/** The seed tensor's two numbers for one forward pass, from a seed and the purpose of the pass, e.g. "dropout 12 0". */
export function dropoutSeed(seed: number, purpose = "dropout"): Int32Array {
  const { word } = randomStream(seed, purpose);
  return Int32Array.of(word(0), word(1));
}

/** The seed for one place where a layer drops, from the seed of the whole pass. */
export function seedAt(seed: tf.Tensor1D | undefined, layer: number, place = 0): tf.Tensor1D | undefined {
  return seed && tf.add(seed, tf.tensor1d([place, layer], "int32"));
}
