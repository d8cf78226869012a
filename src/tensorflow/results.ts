/**
 * Results of a compiled function, flattened to a list and rebuilt (a small pytree).
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";

/** What a compiled function may return: a tensor, several, or several by name. */
export type Results = tf.Tensor | readonly tf.Tensor[] | { readonly [name: string]: tf.Tensor };

/** The tensors of a result, and how to rebuild its structure with others. */
export interface FlatResults<Result extends Results> {
  /** In the order of the result. */
  readonly tensors: readonly tf.Tensor[];
  /** A result of the same structure. */
  rebuild(tensors: readonly tf.Tensor[]): Result;
}

/**
 * Flattens a result.
 *
 * @throws {TypeError} where it is something else, such as the promise of an async function
 */
export function flattenResults<Result extends Results>(result: Result): FlatResults<Result> {
  if (result instanceof tf.Tensor) return { tensors: [result], rebuild: ([tensor]) => tensor as Result };
  if (Array.isArray(result)) {
    return { tensors: requireTensors(result), rebuild: (tensors) => [...tensors] as unknown as Result };
  }
  if (typeof result !== "object" || result === null || result instanceof Promise) {
    const found = result instanceof Promise ? "a promise: it can't be async" : typeof result;
    throw new TypeError(
      `a compiled function returns tensors, an array or an object of them, and this gave ${found}`,
    );
  }
  const names = Object.keys(result);
  return {
    tensors: requireTensors(Object.values(result)),
    rebuild: (tensors) => Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as Result,
  };
}

/** Checks that all values are tensors. */
export function requireTensors(values: readonly unknown[]): readonly tf.Tensor[] {
  values.forEach((value, i) => {
    if (value instanceof tf.Tensor) return;
    throw new TypeError(
      `a compiled function takes and returns tensors, and number ${i} is ${typeof value}: pass numbers as tf.scalar()`,
    );
  });
  return values as readonly tf.Tensor[];
}
