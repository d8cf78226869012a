/**
 * The outer step of parameter averaging (DiLoCo: Douillard et al., "DiLoCo: distributed low-communication training of language
 * models", 2023): members train by themselves for some steps, and how far they have come is averaged and taken as a gradient
 * by SGD with Nesterov momentum, on every replica alike.
 *
 * @module
 */

/** Settings of the outer SGD. Rate 1 and momentum 0 is plain averaging of the parameters. */
export interface OuterOptions {
  /** Share of the way that is gone; 0.7 in the paper. */
  rate: number;
  /** Decay of the running sum of gradients; 0.9 in the paper. */
  momentum: number;
}

/**
 * What a member adds to the sum over the members: the way back from where its local steps have led, as a gradient points
 * uphill, times the tokens that it has learned from.
 *
 * @param before parameters at the round's start
 * @param after parameters after the local steps; overwritten
 * @returns `after`, which now holds tokens · (before − after)
 */
export function outerGradientSum(before: Float32Array, after: Float32Array, tokens: number): Float32Array {
  for (let i = 0; i < after.length; i++) after[i] = (before[i] - after[i]) * tokens;
  return after;
}

/**
 * Updates parameters at the end of a round, in float32, as PyTorch's `SGD(nesterov=True)` does.
 *
 * @param params at the round's start; overwritten with those that the next round starts from
 * @param velocity running sum of gradients, zeros at first; overwritten
 * @param gradient mean over the members of (before − after), weighted by tokens
 *
 * @example
 * ```ts
 * import { outerStep } from "./outer_optimizer.ts";
 * const params = new Float32Array([1]), velocity = new Float32Array(1);
 * outerStep(params, velocity, new Float32Array([0.25]), { rate: 1, momentum: 0 }); // members came to 0.75 on average
 * console.assert(params[0] === 0.75);
 * ```
 */
export function outerStep(
  params: Float32Array,
  velocity: Float32Array,
  gradient: Float32Array,
  { rate, momentum }: OuterOptions,
): void {
  for (let i = 0; i < params.length; i++) {
    velocity[i] = momentum * velocity[i] + gradient[i];
    params[i] -= rate * (gradient[i] + momentum * velocity[i]);
  }
}
