/**
 * Frequencies of the sinusoidal positions and the rotary embedding. They are buffers of a state dict, not parameters. Imports
 * nothing of TensorFlow, so that a coordinator can write checkpoints.
 *
 * @module
 */

/**
 * Angles per position, in radians: buffers of FLASH-pytorch's state dict, not trained. A loaded model keeps the ones of its
 * state dict.
 */
export interface Frequencies {
  /** Of the sinusoidal positions [d / 2]. */
  readonly sinusoidal?: Float32Array;
  /** Of the rotary embedding, one per pair of features [min(32, s) / 2]. */
  readonly rotary?: Float32Array;
}

/** `10000^(-2i / dim)` for each pair i of `dim` features: one radian per position for the first, then decreasing. */
export function inverseFrequencies(dim: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, i) => 10000 ** (-2 * i / dim));
}
