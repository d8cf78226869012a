/**
 * Gradient clipping and AdamW. The optimizer is one pass over the flat parameter vector; what changes from step to step are
 * four numbers, so that one recorded function serves all steps.
 *
 * @module
 */

import { tf } from "../../tensorflow/mod.ts";

/** Options of AdamW (Loshchilov and Hutter, 2019); with `weightDecay` 0 it is Adam. */
export interface OptimizerOptions {
  /** Decay of the mean and of the mean square of gradients. Default 0.9 and 0.999. */
  betas?: readonly [number, number];
  /** Added to the root in the divisor. Default 1e-8, as in PyTorch. */
  epsilon?: number;
  /** Share of a linear map's weights, times the learning rate, that each step takes away. Default 0. */
  weightDecay?: number;
  /** The mean gradient is scaled down to this norm at most. Default: no clipping. */
  clipNorm?: number;
}

/**
 * Length of the state's vectors for that number of parameters, padded with zeros up to a multiple of 960, which is even for each number of
 * threads up to 6, and 8, 10, 12, 15 and 16. XLA cuts a loop into equal parts, one for each thread, and where it is not even
 * looks at each value whether it is one too many, which takes three times as long.
 *
 * @example
 * ```ts
 * import { stateLength } from "./optimizer.ts";
 * console.assert(stateLength(1000) === 1920);
 * ```
 */
export function stateLength(parameters: number): number {
  return Math.ceil(parameters / 960) * 960;
}

/** Parameters and Adam's two moments, one flat vector each, of the length {@linkcode stateLength} or without the zeros. */
export interface OptimizerState {
  /** [P] */
  params: tf.Tensor1D;
  /** Running mean of the gradients [P]. */
  m: tf.Tensor1D;
  /** Running mean of their squares [P]. */
  v: tf.Tensor1D;
}

/**
 * The factor that brings a gradient of this norm to at most `clipNorm`, as PyTorch's `clip_grad_norm_` computes it; 1 where
 * nothing is to be clipped.
 */
export function clipFactor(norm: number, clipNorm = Infinity): number {
  return Math.min(1, clipNorm / (norm + 1e-6));
}

/**
 * The four numbers that a step of the optimizer needs [4], computed in double precision: the clip factor, what is left of
 * decaying weights, the step size with the mean's bias corrected, and the root of the mean square's bias correction.
 *
 * @param norm of the mean gradient, before clipping
 * @param lr learning rate
 * @param updates number of this update, from 1 on; skipped steps don't count
 *
 * @example
 * ```ts
 * import { stepScalars } from "./optimizer.ts";
 * const scalars = stepScalars({ clipNorm: 0.5 }, { norm: 5, lr: 1e-3, updates: 1 });
 * console.assert(Math.abs(scalars[0] - 0.1) < 1e-6);
 * ```
 */
export function stepScalars(
  { betas: [beta1, beta2] = [0.9, 0.999], weightDecay = 0, clipNorm }: OptimizerOptions,
  { norm, lr, updates }: { norm: number; lr: number; updates: number },
): Float32Array {
  return Float32Array.of(
    clipFactor(norm, clipNorm),
    1 - lr * weightDecay,
    lr / (1 - beta1 ** updates),
    Math.sqrt(1 - beta2 ** updates),
  );
}

/**
 * One update of AdamW. Pure: the state given stays as it is.
 *
 * @param gradient mean gradient [P], before clipping
 * @param scalars of {@linkcode stepScalars} [4]
 */
export function applyStep(
  { params, m, v }: OptimizerState,
  gradient: tf.Tensor1D,
  scalars: tf.Tensor1D,
  { betas: [beta1, beta2] = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0 }: OptimizerOptions,
  definition: Decaying,
): OptimizerState {
  return tf.tidy(() => {
    const [clip, remains, stepSize, rootCorrection] = tf.unstack(scalars);
    const clipped = tf.mul(gradient, clip);
    const nextM = tf.add(tf.mul(m, beta1), tf.mul(clipped, 1 - beta1));
    const nextV = tf.add(tf.mul(v, beta2), tf.mul(tf.square(clipped), 1 - beta2));
    const divisor = tf.add(tf.div(tf.sqrt(nextV), rootCorrection), epsilon);
    const decayed = weightDecay === 0 ? params : decay(params, remains, definition);
    const nextParams = tf.sub(decayed, tf.div(tf.mul(nextM, stepSize), divisor));
    return { params: nextParams as tf.Tensor1D, m: nextM as tf.Tensor1D, v: nextV as tf.Tensor1D };
  });
}

/** Multiplies the weights of linear maps by what decay leaves of them. */
function decay(params: tf.Tensor1D, remains: tf.Tensor, definition: Decaying): tf.Tensor {
  const runs = decayRuns(definition);
  const { offset, size } = runs.at(-1)!, end = offset + size;
  const zeros = { decays: false, offset: end, size: params.size - end };
  return tf.concat(
    [...runs, zeros].filter(({ size }) => size > 0).map(({ decays, offset, size }) => {
      const run = tf.slice(params, offset, size);
      return decays ? tf.mul(run, remains) : run;
    }),
  );
}

/** The part of a model's definition that says which parameters decay. */
export interface Decaying {
  /** One for each parameter. */
  readonly specs: readonly { readonly decays: boolean }[];
  /** Where each lies. */
  readonly layout: { readonly entries: readonly { readonly offset: number; readonly size: number }[] };
}

/**
 * The stretches of the flat vector that decay, and those between them: the weights of linear maps do; biases, norms, scales
 * and embeddings don't.
 */
export function decayRuns({ specs, layout }: Decaying): { decays: boolean; offset: number; size: number }[] {
  const runs: { decays: boolean; offset: number; size: number }[] = [];
  specs.forEach(({ decays }, i) => {
    const { offset, size } = layout.entries[i];
    const last = runs.at(-1);
    if (last?.decays === decays) last.size += size;
    else runs.push({ decays, offset, size });
  });
  return runs;
}
