/**
 * Models with random values everywhere: as they are initialized, scores and linear part are a millionth of the bias, and a
 * test would be blind to them.
 *
 * @module
 */

import { FLASHTransformer, type FLASHTransformerOptions } from "../../src/model/mod.ts";
import type { NamedTensors } from "../../src/model/mod.ts";
import { normalArray, randomStream } from "../../src/prng.ts";
import { tf } from "../../src/tensorflow/mod.ts";

/** Adds normally distributed values to all parameters of a model and returns it. */
export function jitter<
  Model extends {
    parameters: NamedTensors;
    stateDict(): NamedTensors;
    loadStateDict(state: NamedTensors): void;
  },
>(
  model: Model,
  seed = 1,
  deviation = 0.3,
): Model {
  tf.tidy(() => {
    const moved = Object.entries(model.parameters).map(([name, tensor]): [string, tf.Tensor] => [
      name,
      tf.add(tensor, tf.tensor(normalArray(tensor.size, seed, name, deviation), tensor.shape)),
    ]);
    model.loadStateDict({ ...model.stateDict(), ...Object.fromEntries(moved) });
  });
  return model;
}

/** A small transformer, different in every dimension. */
export function smallTransformer(options: Partial<FLASHTransformerOptions> = {}): FLASHTransformer {
  const small = { numTokens: 19, dim: 12, depth: 2, queryKeyDim: 10, groupSize: 8, causal: true, ...options };
  return jitter(new FLASHTransformer(small));
}

/** Random token ids [b][n]. */
export function randomIds(b: number, n: number, numTokens: number, seed = 1): number[][] {
  const { uniform } = randomStream(seed, "ids");
  return Array.from(
    { length: b },
    (_, row) => Array.from({ length: n }, (_, i) => Math.floor(uniform(row * n + i) * numTokens)),
  );
}

/** A random input [b, n, d]. */
export function randomInput(b: number, n: number, d: number, seed = 1): tf.Tensor3D {
  return tf.tensor3d(normalArray(b * n * d, seed, "input", 1), [b, n, d]);
}

/** A mask [b][n] that leaves the first tokens of each sequence. */
export function maskOf(n: number, ...lengths: number[]): boolean[][] {
  return lengths.map((length) => Array.from({ length: n }, (_, i) => i < length));
}
