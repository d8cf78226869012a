/**
 * Attention functions: from scores to attention weights, in place of softmax.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { withGradient } from "./gradients.ts";

/** ReLU²: max(0, x)². Plain: square(relu(x)), here with a gradient of its own, 2 max(0, x) dy. */
export const reluSquared: (x: tf.Tensor) => tf.Tensor = withGradient((x) => {
  const positive = tf.relu(x);
  return {
    value: tf.square(positive),
    saved: [positive],
    gradient: (dy, [positive]) => tf.mul(dy, tf.mul(positive, 2)),
  };
});

const MEAN = Math.sqrt(0.5);
const DEVIATION = Math.sqrt(1 / (4 * Math.PI));

/**
 * Laplace attention function (Ma et al., "Mega", 2022): ½ (1 + erf((x − μ) / (σ √2))) with
 * μ = √½ and σ = √(1 / 4π), a smooth step from 0 to 1 that touches ReLU² at √½.
 */
export function laplace(x: tf.Tensor): tf.Tensor {
  const standardized = tf.div(tf.sub(x, MEAN), DEVIATION * Math.SQRT2);
  return tf.mul(tf.add(tf.erf(standardized), 1), 0.5);
}

/** The attention function that the options name. */
export function attentionFunction(laplaceAttnFn: boolean): (x: tf.Tensor) => tf.Tensor {
  return laplaceAttnFn ? laplace : reluSquared;
}
