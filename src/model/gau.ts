/**
 * The gated attention unit: quadratic attention of one head over the whole sequence, and a gate (Hua et al.,
 * "Transformer Quality in Linear Time", 2022, section 2; FLASH-pytorch's `GAU`).
 *
 * Legend: b batch, n sequence, d model, s query/key, e hidden.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { attentionFunction } from "./attention.ts";
import { dropout, seedAt } from "./dropout.ts";
import { causalMask, heads, linear, maskedLength, maskValues, silu } from "./layers.ts";
import { normalize } from "./norms.ts";
import type { GAUOptions } from "./options.ts";
import { BUCKETS, type LayerParameters } from "./parameters.ts";
import { bucketRows, relativeBias } from "./positions.ts";

/** What a GAU takes besides its input. */
export interface GAUInputs {
  /** [b, n], true or 1 for the tokens that others may see. */
  mask?: tf.Tensor;
  /** Added to the scores [n, n], besides the learned bias. */
  relPosBias?: tf.Tensor;
  /** Seed of the dropout [2], int32; without it nothing is dropped. */
  seed?: tf.Tensor1D;
}

/**
 * One gated attention unit.
 *
 * @param x [b, n, d]
 * @returns [b, n, d]
 */
export function gau(
  parameters: LayerParameters<tf.Tensor>,
  x: tf.Tensor,
  options: Required<GAUOptions>,
  { mask, relPosBias, seed }: GAUInputs = {},
): tf.Tensor {
  const n = x.shape[1]!;
  const normed = normalize(x, parameters.norm); // [b, n, d]
  const [value, gate] = tf.split(silu(linear(normed, parameters.toHidden)), 2, -1); // [b, n, e] each
  const shared = silu(linear(normed, parameters.toQk)); // [b, n, s]
  const [query, key] = tf.unstack(heads(shared, parameters.offsetScale)); // [b, n, s] each

  let scores = tf.matMul(query, key, false, true); // [b, n, n]
  if (parameters.relPosBias) {
    const rows = bucketRows(n, options.causal, BUCKETS);
    scores = tf.add(scores, relativeBias(parameters.relPosBias, rows, Math.sqrt(options.dim)));
  }
  if (relPosBias) scores = tf.add(scores, relPosBias);
  const length = mask && options.divideByMaskedLength ? maskedLength(mask) : n;

  let weights = attentionFunction(options.laplaceAttnFn)(tf.div(scores, length)); // [b, n, n]
  weights = dropout(weights, options.dropout, seedAt(seed, 0, 0));
  if (options.causal) weights = tf.mul(weights, causalMask(n));

  const attended = tf.matMul(weights, maskValues(value, mask)); // [b, n, e]
  const out = dropout(linear(tf.mul(gate, attended), parameters.toOut), options.dropout, seedAt(seed, 0, 1));
  return options.addResidual ? tf.add(out, x) : out; // [b, n, d]
}
