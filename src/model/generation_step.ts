/**
 * Decoding one token at a time: what a causal transformer keeps of the tokens before, how a prompt fills it in one pass, and
 * what one more token does. A token costs the same at every position.
 *
 * Legend: b batch, n sequence, c tokens in a group, d model, s query/key, e hidden, v vocabulary.
 *
 * @module
 */

import { gatherRows, tf } from "../tensorflow/mod.ts";
import { attentionFunction } from "./attention.ts";
import { attend, flashConstants, project, type Projections } from "./flash.ts";
import { linear } from "./layers.ts";
import { type FLASHOptions, hiddenDim, layerOptions } from "./options.ts";
import { BUCKETS, type LayerParameters, type TransformerParameters } from "./parameters.ts";
import {
  biasByDistance,
  bucketRows,
  type RotaryTables,
  rotaryTables,
  sinusoidalPositions,
} from "./positions.ts";
import type { TransformerModel } from "./training.ts";
import { embed, logitsOf } from "./transformer.ts";

/**
 * What a layer keeps of the tokens so far. Rows of the open group that no token has filled yet hold anything finite. The rows of
 * all sequences are one matrix: XLA multiplies by a matrix that it is given as it lies in memory, one that is reshaped
 * first it reads column by column, six times slower.
 */
export interface LayerCache {
  /** The half of the last token's normed features that the next one takes over [b, 1, d / 2]. */
  before: tf.Tensor;
  /** Quadratic keys of the open group [b · c, s]. */
  quadKeys: tf.Tensor;
  /** Linear keys of the open group [b · c, s]. */
  linKeys: tf.Tensor;
  /** Values of the open group [b · c, e]. */
  values: tf.Tensor;
  /** Sum over the closed groups of linear keysᵀ · values / c [b · s, e]. */
  past: tf.Tensor;
}

/** Caches one after the other, as recorded functions take and return them. */
export function flattenCaches(caches: readonly LayerCache[]): tf.Tensor[] {
  return caches.flatMap(({ before, quadKeys, linKeys, values, past }) => [
    before,
    quadKeys,
    linKeys,
    values,
    past,
  ]);
}

/** The inverse of {@linkcode flattenCaches}. */
export function unflattenCaches(tensors: readonly tf.Tensor[]): LayerCache[] {
  return Array.from({ length: tensors.length / 5 }, (_, layer) => {
    const [before, quadKeys, linKeys, values, past] = tensors.slice(5 * layer);
    return { before, quadKeys, linKeys, values, past };
  });
}

/** Where a token stands: its rotary position [1, pairs], and the others. */
export interface Place extends RotaryTables {
  /** Its sinusoidal position [1, d]. */
  sinusoid: tf.Tensor2D;
  /** Its row in its group [1], int32. */
  row: tf.Tensor1D;
}

/** The place of the token at a position, from the tables that training uses: exact however far it is. */
export function placeOf({ options, frequencies }: TransformerModel, position: number): Place {
  return tf.tidy(() => ({
    ...rotaryTables(1, frequencies.rotary!, position),
    sinusoid: sinusoidalPositions(1, frequencies.sinusoidal!, position),
    row: tf.tensor1d([position % options.groupSize], "int32"),
  }));
}

/** Logits for the next token [b, v], and what is kept. */
export interface Decoded {
  logits: tf.Tensor2D;
  caches: LayerCache[];
}

/**
 * All tokens of a prompt at once.
 *
 * @param ids [b, n], int32
 */
export function prefill(
  { options, frequencies }: TransformerModel,
  parameters: TransformerParameters<tf.Tensor>,
  ids: tf.Tensor,
): Decoded {
  const [b, n] = ids.shape;
  const layer = layerOptions(options);
  const constants = flashConstants(layer, n!, frequencies);
  let x = embed(parameters, ids, sinusoidalPositions(n!, frequencies.sinusoidal!)); // [b, n, d]
  const caches = parameters.layers.map((own) => {
    const projections = project(own, x, layer, constants.rotary);
    x = attend(own, x, projections, layer, constants);
    return cacheOf(projections, layer);
  });
  const last = tf.slice(x, [0, n! - 1, 0], [b, 1, options.dim]); // [b, 1, d]
  return { logits: nextLogits(parameters, last), caches };
}

/**
 * One token more. The caches' `past` is left as it is: a group that this token fills is for {@linkcode closeGroup}.
 *
 * @param ids the token of each sequence [b, 1], int32
 */
export function decodeToken(
  { options }: TransformerModel,
  parameters: TransformerParameters<tf.Tensor>,
  ids: tf.Tensor,
  place: Place,
  caches: readonly LayerCache[],
): Decoded {
  const layer = layerOptions(options);
  const group = openGroup(layer, place.row);
  let x = embed(parameters, ids, place.sinusoid); // [b, 1, d]
  const next = parameters.layers.map((own, index) => {
    const step = layerStep(own, x, layer, place, group, caches[index]);
    x = step.x;
    return step.cache;
  });
  return { logits: nextLogits(parameters, x), caches: next };
}

/** `past` once the open group is full: with that group's sum added. c is the group's size. */
export function closeGroup(
  { linKeys, values, past }: Pick<LayerCache, "linKeys" | "values" | "past">,
  c: number,
): tf.Tensor {
  const groups = (x: tf.Tensor) => tf.reshape(x, [-1, c, x.shape[1]!]); // [b, c, …]
  return tf.add(past, tf.reshape(contextOf(groups(linKeys), groups(values), c), past.shape));
}

/** Linear keysᵀ · values / c: [b, s, e] from [b, n, s] and [b, n, e]. */
function contextOf(linKeys: tf.Tensor, values: tf.Tensor, c: number): tf.Tensor {
  return tf.div(tf.matMul(linKeys, values, true), c);
}

/** Logits [b, v] from what the layers gave for one token of each sequence [b, 1, d]. */
function nextLogits(parameters: TransformerParameters<tf.Tensor>, x: tf.Tensor): tf.Tensor2D {
  return tf.squeeze(logitsOf(parameters, x), [1]);
}

/** What a layer keeps of the tokens of a prompt. */
function cacheOf(
  { normed, value, queriesAndKeys }: Projections,
  options: Required<FLASHOptions>,
): LayerCache {
  const { dim, groupSize: c, queryKeyDim: s } = options;
  const [b, n] = value.shape;
  const closed = n! - n! % c;
  const [, , quadKey, linKey] = tf.unstack(queriesAndKeys); // [b, n, s] each
  const open = (x: tf.Tensor): tf.Tensor => {
    const width = x.shape[2]!;
    if (closed === n) return tf.zeros([b * c, width]);
    const rows = tf.slice(x, [0, closed, 0], [b, n! - closed, width]);
    return tf.reshape(tf.pad(rows, [[0, 0], [0, c - (n! - closed)], [0, 0]]), [b * c, width]);
  };
  const full = (x: tf.Tensor) => tf.slice(x, [0, 0, 0], [b, closed, x.shape[2]!]);
  const e = hiddenDim(options);
  const past = closed === 0 ? tf.zeros([b, s, e]) : contextOf(full(linKey), full(value), c);
  return {
    before: tf.slice(normed, [0, n! - 1, 0], [b, 1, dim / 2]),
    quadKeys: open(quadKey),
    linKeys: open(linKey),
    values: open(value),
    past: tf.reshape(past, [b * s, e]),
  };
}

/** The open group as the token at one of its rows sees it. */
interface OpenGroup {
  /** True at the token's row [1, c, 1]. */
  here: tf.Tensor;
  /** Ones before the token's row, then zeros [1, 1, c]. */
  before: tf.Tensor;
  /** Buckets of the distances [2c, buckets]. */
  buckets: tf.Tensor2D;
  /** Which row of the buckets is for each row's distance from the token's [c], int32. */
  distances: tf.Tensor;
}

function openGroup({ groupSize: c, causal }: Required<FLASHOptions>, row: tf.Tensor1D): OpenGroup {
  const rows = tf.range(0, c, 1, "int32");
  const wrapped = tf.scalar(2 * c, "int32"); // row k of the buckets is for distance k or k − 2c
  return {
    here: tf.reshape(tf.equal(rows, row), [1, c, 1]),
    before: tf.reshape(tf.cast(tf.less(rows, row), "float32"), [1, 1, c]),
    buckets: bucketRows(c, causal, BUCKETS),
    distances: tf.mod(tf.add(tf.sub(rows, row), wrapped), wrapped),
  };
}

/** One layer for one token: x is [b, 1, d]. */
function layerStep(
  parameters: LayerParameters<tf.Tensor>,
  x: tf.Tensor,
  options: Required<FLASHOptions>,
  rotary: RotaryTables,
  group: OpenGroup,
  cache: LayerCache,
): { x: tf.Tensor; cache: LayerCache } {
  const { dim, groupSize, queryKeyDim, laplaceAttnFn } = options;
  const { normed, gate, value, queriesAndKeys } = project(parameters, x, options, rotary, cache.before);
  const [quadQuery, linQuery, quadKey, linKey] = tf.unstack(queriesAndKeys); // [b, 1, s] each
  const byDistance = biasByDistance(parameters.relPosBias!, group.buckets, Math.sqrt(queryKeyDim)); // [2c, 1]
  const weigh = (products: tf.Tensor, distances: tf.Tensor) => {
    const bias = tf.reshape(gatherRows(byDistance, distances), [1, 1, -1]);
    return attentionFunction(laplaceAttnFn)(tf.add(tf.div(products, groupSize), bias));
  };
  // The token itself is not in the cache yet: attending to it apart, XLA multiplies by the cache as it lies in memory.
  const others = weigh(times(quadQuery, cache.quadKeys, true), group.distances); // [b, 1, c]
  const self = weigh(tf.sum(tf.mul(quadQuery, quadKey), -1, true), tf.zeros([1], "int32")); // [b, 1, 1]
  const near = tf.add(times(tf.mul(others, group.before), cache.values), tf.mul(self, value)); // [b, 1, e]
  const far = times(linQuery, cache.past); // [b, 1, e]
  const out = linear(tf.mul(gate, tf.add(near, far)), parameters.toOut);

  const put = (cached: tf.Tensor, row: tf.Tensor) => {
    const rows = tf.reshape(cached, [row.shape[0], groupSize, -1]);
    return tf.reshape(tf.where(group.here, row, rows), cached.shape);
  };
  const next: LayerCache = {
    before: tf.slice(normed, [0, 0, 0], [normed.shape[0], 1, dim / 2]),
    quadKeys: put(cache.quadKeys, quadKey),
    linKeys: put(cache.linKeys, linKey),
    values: put(cache.values, value),
    past: cache.past,
  };
  return { x: tf.add(out, x), cache: next };
}

/**
 * Products with what is cached: x [b, 1, k] by the rows of each sequence [b · k, m], or by their transpose [b · m, k], gives
 * [b, 1, m].
 */
function times(x: tf.Tensor, cached: tf.Tensor, transposed = false): tf.Tensor {
  const [b, , k] = x.shape;
  if (b > 1) return tf.matMul(x, tf.reshape(cached, [b, -1, cached.shape[1]!]), false, transposed);
  const product = tf.matMul(tf.reshape(x, [1, k!]) as tf.Tensor2D, cached as tf.Tensor2D, false, transposed);
  return tf.expandDims(product, 0);
}
