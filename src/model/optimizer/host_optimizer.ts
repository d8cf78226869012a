/**
 * The update of `optimizer.ts` in plain JavaScript: every operation is rounded to float32 by itself, in one order, so that
 * unlike machines get the same bits from the same mean. (A product, sum, quotient or root of two float32 numbers that is
 * computed in float64 and rounded once more is the float32 one: Figueroa, "When is double rounding innocuous?", 1995.)
 *
 * @module
 */

import { type Decaying, decayRuns, type OptimizerOptions } from "./optimizer.ts";

/** Parameters and Adam's two moments, as numbers. */
export interface HostState {
  /** [P] */
  params: Float32Array;
  /** Running mean of the gradients [P]. */
  m: Float32Array;
  /** Running mean of their squares [P]. */
  v: Float32Array;
}

const { fround, sqrt } = Math;

/**
 * One update of AdamW, as `applyStep` of `optimizer.ts` has it. Pure: the state given stays as it is.
 *
 * @param gradient mean gradient [P], before clipping
 * @param scalars of `stepScalars` [4]
 *
 * @example
 * ```ts
 * import { applyOnHost } from "./host_optimizer.ts";
 * import { stepScalars } from "./optimizer.ts";
 * const definition = { specs: [{ decays: false }], layout: { entries: [{ offset: 0, size: 1 }] } };
 * const state = { params: Float32Array.of(1), m: new Float32Array(1), v: new Float32Array(1) };
 * const scalars = stepScalars({}, { norm: 2, lr: 0.5, updates: 1 });
 * const { params } = applyOnHost(state, Float32Array.of(2), scalars, {}, definition);
 * console.assert(Math.abs(params[0] - 0.5) < 1e-6); // the first step of Adam goes as far as the rate says
 * ```
 */
export function applyOnHost(
  { params, m, v }: HostState,
  gradient: Float32Array,
  [clip, remains, stepSize, rootCorrection]: Float32Array,
  { betas: [beta1, beta2] = [0.9, 0.999], epsilon = 1e-8 }: OptimizerOptions,
  definition: Decaying,
): HostState {
  const next = {
    params: new Float32Array(params.length),
    m: new Float32Array(m.length),
    v: new Float32Array(v.length),
  };
  const keep1 = fround(beta1), keep2 = fround(beta2), eps = fround(epsilon);
  const take1 = fround(1 - beta1), take2 = fround(1 - beta2);
  for (const { decays, offset, size } of decayRuns(definition)) {
    const factor = decays ? remains : 1;
    for (let i = offset; i < offset + size; i++) {
      const g = fround(gradient[i] * clip);
      const mean = fround(fround(m[i] * keep1) + fround(g * take1));
      const square = fround(fround(v[i] * keep2) + fround(fround(g * g) * take2));
      const divisor = fround(fround(fround(sqrt(square)) / rootCorrection) + eps);
      next.m[i] = mean;
      next.v[i] = square;
      next.params[i] = fround(fround(params[i] * factor) - fround(fround(mean * stepSize) / divisor));
    }
  }
  return next;
}
