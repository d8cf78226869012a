/**
 * Angles per position of the sinusoidal positions and the rotary embedding. They are part of a state dict and not trained. Loads
 * nothing of TensorFlow, so that a coordinator can write checkpoints.
 *
 * @module
 */

/**
 * Angles per position, in radians: part of FLASH-pytorch's state dict, not trained. A loaded model keeps the ones it was
 * saved with.
 */
export interface Frequencies {
  /** Of the sinusoidal positions [d / 2]. */
  readonly sinusoidal?: Float32Array;
  /** Of the rotary embedding, one per pair of features [min(32, s) / 2]. */
  readonly rotary?: Float32Array;
}

/** `10000^(-2i / dim)` for each pair i of `dim` features, from one radian per position down. */
export function inverseFrequencies(dim: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, i) => 10000 ** (-2 * i / dim));
}
