/**
 * Tensors by name and as a list: compiled functions take their inputs by position.
 *
 * @module
 */

import type { tf } from "../tensorflow/mod.ts";

/** The tensors in the order of their names. Only the last ones may be missing. */
export function pack<T extends object>(names: readonly (keyof T)[], inputs: T): tf.Tensor[] {
  return names.flatMap((name) => inputs[name] as tf.Tensor | undefined ?? []);
}

/** The inverse of {@linkcode pack}; tensors beyond the names are ignored. */
export function unpack<T extends object>(names: readonly (keyof T)[], tensors: readonly tf.Tensor[]): T {
  return Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as T;
}
