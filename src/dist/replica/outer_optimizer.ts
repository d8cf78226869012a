/**
 * The outer step of parameter averaging (DiLoCo: Douillard et al., "DiLoCo: distributed low-communication training of language
 * models", 2023): members train independently for some steps; the mean of their parameter deltas serves as a gradient
 * (pseudo-gradient) for SGD with Nesterov momentum, identically on every replica.
 *
 * @module
 */

/** Settings of the outer SGD. Rate 1 and momentum 0 is plain averaging of the parameters. */
export interface OuterOptions {
  /** Learning rate; 0.7 in the paper. */
  rate: number;
  /** Decay of the running sum of pseudo-gradients; 0.9 in the paper. */
  momentum: number;
}

/**
 * Contribution of a member to the sum over the members: its pseudo-gradient, parameters before − after the local steps, times the
 * counted tokens of those steps.
 *
 * @param before parameters at the round's start
 * @param after parameters after the local steps
 * @param into where tokens · (before − after) is written, by default in place of `after`
 * @returns `into`
 */
export function outerGradientSum(
  before: Float32Array,
  after: Float32Array,
  tokens: number,
  into: Float32Array = after,
): Float32Array {
  for (let i = 0; i < after.length; i++) into[i] = (before[i] - after[i]) * tokens;
  return into;
}

/**
 * Updates parameters at the end of a round, in float32, as PyTorch's `SGD(nesterov=True)` does.
 *
 * @param params at the round's start; overwritten with those at the start of the next round
 * @param velocity running sum of pseudo-gradients, zeros at first; overwritten
 * @param gradient mean over the members of (before − after), weighted by tokens
 *
 * @example
 * ```ts
 * import { outerStep } from "./outer_optimizer.ts";
 * const params = new Float32Array([1]), velocity = new Float32Array(1);
 * outerStep(params, velocity, new Float32Array([0.25]), { rate: 1, momentum: 0 }); // the members' mean is 0.75
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
