/**
 * The FLASH transformer: embeddings with sinusoidal positions, FLASH layers, logits (FLASH-pytorch's `FLASHTransformer`).
 *
 * Legend: b batch, n sequence, d model, v vocabulary.
 *
 * @module
 */

import { gatherRows, tf } from "../tensorflow/mod.ts";
import { seedAt } from "./dropout.ts";
import { flash, flashConstants, type FLASHInputs } from "./flash.ts";
import { linear } from "./layers.ts";
import { normalize } from "./norms.ts";
import { type FLASHTransformerOptions, layerOptions } from "./options.ts";
import type { TransformerParameters } from "./parameters.ts";
import type { Frequencies } from "./frequencies.ts";
import { sinusoidalPositions } from "./positions.ts";

/**
 * Logits for the token after each one.
 *
 * @param ids [b, n], int32
 * @returns [b, n, v]
 */
export function transformer(
  parameters: TransformerParameters<tf.Tensor>,
  ids: tf.Tensor,
  options: Required<FLASHTransformerOptions>,
  frequencies: Frequencies,
  { mask, seed }: FLASHInputs = {},
): tf.Tensor {
  const n = ids.shape[1]!;
  let x = embed(parameters, ids, sinusoidalPositions(n, frequencies.sinusoidal!)); // [b, n, d]
  const layer = layerOptions(options);
  const constants = flashConstants(layer, n, frequencies);
  parameters.layers.forEach((layerParameters, index) => {
    x = flash(layerParameters, x, layer, constants, { mask, seed: seedAt(seed, index) });
  });

  return logitsOf(parameters, x); // [b, n, v]
}

/** Embeddings of token ids [b, n] with their positions [n, d]: [b, n, d]. */
export function embed(
  { tokenEmb, positionScale }: TransformerParameters<tf.Tensor>,
  ids: tf.Tensor,
  positions: tf.Tensor2D,
): tf.Tensor {
  return tf.add(gatherRows(tokenEmb, ids), tf.mul(positions, positionScale));
}

/** Logits [b, n, v] from the last layer's output [b, n, d]. */
export function logitsOf({ finalNorm, toLogits }: TransformerParameters<tf.Tensor>, x: tf.Tensor): tf.Tensor {
  return linear(normalize(x, finalNorm), toLogits);
}
