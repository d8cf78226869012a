/**
 * The FLASH layer: a gated attention unit whose attention is quadratic within groups of tokens and linear between them, so
 * that its cost grows linearly with the length (Hua et al., "Transformer Quality in Linear Time", 2022, section 3.2;
 * FLASH-pytorch's `FLASH`). Where speed forced another way to compute it, the plain formula stands above as "Plain:".
 *
 * Legend: b batch, n sequence, g groups, c tokens in a group, d model, s query/key, e hidden.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { attentionFunction } from "./attention.ts";
import { dropout, seedAt } from "./dropout.ts";
import type { Frequencies } from "./frequencies.ts";
import { sumUpTo } from "./gradients.ts";
import { causalMask, halves, heads, linear, maskedLength, maskValues, shiftTokens, silu } from "./layers.ts";
import { normalize } from "./norms.ts";
import type { FLASHOptions } from "./options.ts";
import { BUCKETS, type LayerParameters } from "./parameters.ts";
import { bucketRows, relativeBias, type RotaryTables, rotaryTables, rotate } from "./positions.ts";

/** What depends on the length and not on the values: computed once for all layers. */
export interface FLASHConstants {
  /** Tokens in a group: the group size, or the length where that is shorter. */
  c: number;
  /** Buckets of the distances within a group [2c, buckets]. */
  buckets: tf.Tensor2D;
  /** Which keys of its group a query may see [c, c]; undefined where all. */
  visible?: tf.Tensor2D;
  /** Angles of the rotary embedding; undefined where there is none. */
  rotary?: RotaryTables;
}

/** The constants for sequences of n tokens. A single group that n does not fill needs no padding: it is made shorter. */
export function flashConstants(
  options: Required<FLASHOptions>,
  n: number,
  { rotary }: Frequencies,
): FLASHConstants {
  const c = Math.min(options.groupSize, n);
  return {
    c,
    buckets: bucketRows(c, options.causal, BUCKETS),
    visible: options.causal ? causalMask(c) : undefined,
    rotary: rotary && rotaryTables(n, rotary),
  };
}

/** What a FLASH layer takes besides its input. */
export interface FLASHInputs {
  /** [b, n], true or 1 for the tokens that others may see. With `shiftTokens` only padding at the end may be masked. */
  mask?: tf.Tensor;
  /** Seed of the dropout [2], int32; without it nothing is dropped. */
  seed?: tf.Tensor1D;
}

/**
 * One FLASH layer.
 *
 * @param x [b, n, d]
 * @returns [b, n, d]
 */
export function flash(
  parameters: LayerParameters<tf.Tensor>,
  x: tf.Tensor,
  options: Required<FLASHOptions>,
  constants: FLASHConstants,
  { mask, seed }: FLASHInputs = {},
): tf.Tensor {
  const projections = project(parameters, x, options, constants.rotary);
  return attend(parameters, x, projections, options, constants, { mask, seed });
}

/** What a layer computes from each token alone, or from it and the one before where tokens shift. */
export interface Projections {
  /** The normalized input, before any shift [b, n, d]. */
  normed: tf.Tensor;
  /** Multiplies the attention's output [b, n, e]. */
  gate: tf.Tensor;
  /** [b, n, e] */
  value: tf.Tensor;
  /** Quadratic query, linear query, quadratic key, linear key, with rotary embedding [4, b, n, s]. */
  queriesAndKeys: tf.Tensor;
}

/**
 * The part of a layer before attention.
 *
 * @param x [b, n, d]
 * @param rotary tables for the positions of x
 * @param before features of the token before x that its first one takes where tokens shift [b, 1, d / 2]; zeros by default
 */
export function project(
  parameters: LayerParameters<tf.Tensor>,
  x: tf.Tensor,
  options: Required<FLASHOptions>,
  rotary: RotaryTables | undefined,
  before?: tf.Tensor,
): Projections {
  const normed = normalize(x, parameters.norm); // [b, n, d]
  const shifted = options.shiftTokens ? shiftTokens(normed, before) : normed;
  // Plain: value, gate = split(silu(linear(shifted, toHidden))). With two products their gradients need not be joined; for one
  // token, where there are no gradients, one product is faster.
  const hidden = before
    ? tf.split(linear(shifted, parameters.toHidden), 2, -1)
    : halves(parameters.toHidden).map((half) => linear(shifted, half));
  const [value, gate] = hidden.map((half) => silu(half)); // [b, n, e] each
  const unrotated = heads(silu(linear(shifted, parameters.toQk)), parameters.offsetScale); // [4, b, n, s]
  return { normed, gate, value, queriesAndKeys: rotary ? rotate(unrotated, rotary) : unrotated };
}

/**
 * Quadratic and linear attention, the gate and the output projection.
 *
 * @param x the layer's input [b, n, d]
 * @returns the layer's output [b, n, d]
 */
export function attend(
  parameters: LayerParameters<tf.Tensor>,
  x: tf.Tensor,
  { gate, value, queriesAndKeys }: Projections,
  options: Required<FLASHOptions>,
  constants: FLASHConstants,
  { mask, seed }: FLASHInputs = {},
): tf.Tensor {
  const n = x.shape[1]!;
  const { c } = constants;
  const [quadQuery, linQuery, quadKey, linKey] = tf.unstack(grouped(queriesAndKeys, c)); // [b, g, c, s] each
  const v = grouped(maskValues(value, mask), c); // [b, g, c, e]

  const quadOut = quadraticAttention(quadQuery, quadKey, v, parameters.relPosBias!, options, constants, seed);
  const length = mask && options.divideByMaskedLength ? maskedLength(mask) : n;
  const linOut = options.causal
    ? causalLinearAttention(linQuery, linKey, v)
    : linearAttention(linQuery, linKey, v, length, options.reduceGroupNonCausalAttn);
  const attended = linOut ? tf.add(quadOut, linOut) : quadOut; // [b, g, c, e]

  const out = linear(tf.mul(gate, ungrouped(attended, n)), parameters.toOut);
  return tf.add(out, x); // [b, n, d]
}

/** Cuts [..., n, f] into groups [..., g, c, f]; the last one is padded with zeros. */
function grouped(x: tf.Tensor, c: number): tf.Tensor {
  const [n, f] = x.shape.slice(-2);
  const outer = x.shape.slice(0, -2);
  const g = Math.ceil(n / c);
  const noPadding = outer.map((): [number, number] => [0, 0]);
  const padded = g * c === n ? x : tf.pad(x, [...noPadding, [0, g * c - n], [0, 0]]);
  return tf.reshape(padded, [...outer, g, c, f]);
}

/** Joins groups [b, g, c, e] to a sequence [b, n, e] again. */
function ungrouped(x: tf.Tensor, n: number): tf.Tensor {
  const [b, g, c, e] = x.shape;
  const joined = tf.reshape(x, [b, g * c, e]);
  return g * c === n ? joined : tf.slice(joined, [0, 0, 0], [b, n, e]);
}

/**
 * Quadratic attention within each group. Scores are divided by the group size of the options, also where the group is shorter.
 *
 * Plain: out = (dropout(φ(q kᵀ / groupSize + bias)) ⊙ visible) · v, with φ the attention function.
 *
 * @param q [b, g, c, s]
 * @param k [b, g, c, s]
 * @param v [b, g, c, e]
 * @returns [b, g, c, e]
 */
function quadraticAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  biasTable: tf.Tensor,
  { groupSize, queryKeyDim, laplaceAttnFn, dropout: rate }: Required<FLASHOptions>,
  { c, buckets, visible }: FLASHConstants,
  seed: tf.Tensor1D | undefined,
): tf.Tensor {
  const bias = relativeBias(biasTable, buckets, Math.sqrt(queryKeyDim)); // [c, c]
  const attended = queryRanges(c, visible !== undefined).map(([from, to], index) => {
    const size = [to - from, to];
    const seenKeys = [-1, -1, to];
    const queries = tf.slice(q, [0, 0, from], [-1, -1, to - from]);
    const products = tf.matMul(queries, tf.slice(k, [0], seenKeys), false, true); // [b, g, to - from, to]
    const scores = tf.add(tf.div(products, groupSize), tf.slice(bias, [from, 0], size));
    const weights = dropout(attentionFunction(laplaceAttnFn)(scores), rate, seedAt(seed, 0, index));
    const masked = visible ? tf.mul(weights, tf.slice(visible, [from, 0], size)) : weights;
    return tf.matMul(masked, tf.slice(v, [0], seenKeys)); // [b, g, to - from, e]
  });
  return tf.concat(attended, 2);
}

/**
 * Ranges of a group's queries, each computed with the keys up to its end. Plain: one range [0, c]. Causal attention has two,
 * which saves the products of the first half's queries with the second half's keys, a quarter of all.
 */
function queryRanges(c: number, causal: boolean): [from: number, to: number][] {
  const half = c >> 1;
  return causal && half > 0 ? [[0, half], [half, c]] : [[0, c]];
}

/**
 * Linear attention to all groups before each one; undefined where there is only one group. Where there are more, c is the
 * group size.
 *
 * Plain: out_i = q_i · Σ_{j<i} k_jᵀ v_j / c for group i, an exclusive running sum. Here: the inclusive sum of all groups but
 * the last, whose keys no group sees; it serves the groups from the second on, and the first gets zeros.
 *
 * @param q [b, g, c, s]
 * @param k [b, g, c, s]
 * @param v [b, g, c, e]
 * @returns [b, g, c, e]
 */
function causalLinearAttention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor | undefined {
  const [, g, c] = v.shape;
  if (g === 1) return;
  const others = [-1, g - 1];
  const products = tf.matMul(tf.slice(k, [0], others), tf.slice(v, [0], others), true); // [b, g - 1, s, e]
  const contexts = sumUpTo(tf.div(products, c));
  const attended = tf.matMul(tf.slice(q, [0, 1], others), contexts); // [b, g - 1, c, e]
  return tf.pad(attended, [[0, 0], [1, 0], [0, 0], [0, 0]]);
}

/**
 * Linear attention to all groups at once, or of each group to itself only: out = q · (kᵀ v / length).
 *
 * @param q [b, g, c, s]
 * @param k [b, g, c, s]
 * @param v [b, g, c, e]
 * @param length what the context is divided by: a number or one per sequence [b, 1, 1]
 * @returns [b, g, c, e]
 */
function linearAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  length: number | tf.Tensor,
  reduceGroups: boolean,
): tf.Tensor {
  const [b, g, c] = v.shape;
  const together = (x: tf.Tensor) => tf.reshape(x, reduceGroups ? [b, g * c, -1] : [b, g, c, -1]);
  const divisor = reduceGroups || typeof length === "number" ? length : tf.expandDims(length, -1);
  const context = tf.div(tf.matMul(together(k), together(v), true), divisor); // [b, s, e] or [b, g, s, e]
  return tf.reshape(tf.matMul(together(q), context), v.shape);
}
