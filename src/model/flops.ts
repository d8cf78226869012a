/**
 * What a training step costs: the floating-point operations of its matrix products, counted from the shapes.
 *
 * @module
 */

import { type FLASHTransformerOptions, hiddenDim, resolveTransformer } from "./options.ts";

/**
 * Multiplications and additions of a training step for one token, forward and backward: of the matrix products in the plain
 * formulas of `flash.ts`, as PaLM's appendix B counts them, with whole matrices also where causal attention discards half of the
 * scores. The backward pass has two products for each of the forward pass. Norms, activations and the optimizer are left out.
 *
 * @param n tokens of a sequence
 *
 * @example
 * ```ts
 * import { flopsPerToken } from "./flops.ts";
 * const options = { numTokens: 256, dim: 128, depth: 4, causal: true, groupSize: 64 };
 * console.assert(flopsPerToken(options, 256) > flopsPerToken(options, 64)); // one group has no linear attention
 * ```
 */
export function flopsPerToken(options: FLASHTransformerOptions, n: number): number {
  const resolved = resolveTransformer(options);
  const { dim: d, queryKeyDim: s, numTokens: v, depth, groupSize, causal } = resolved;
  const e = hiddenDim(resolved);
  const c = Math.min(groupSize, n);
  const projections = d * 2 * e + d * s + e * d; // toHidden, toQk, toOut
  const quadratic = c * (s + e); // q kᵀ and its product with v, for one query
  const linear = causal && n <= c ? 0 : 2 * s * e; // kᵀ v and its product with q
  const products = depth * (projections + quadratic + linear) + d * v;
  return 3 * 2 * products; // one multiplication and one addition each
}
