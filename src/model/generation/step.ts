/**
 * Decoding one token at a time: how a prompt fills the caches in one pass, and what one more token does.
 *
 * Legend: b batch, n sequence, c tokens in a group, r recent tokens, d model, s query/key, e hidden, v vocabulary.
 *
 * @module
 */

import { gatherRows, tf } from "../../tensorflow/mod.ts";
import { attentionFunction } from "../attention.ts";
import { attend, flashConstants, project, type Projections } from "../flash.ts";
import { type LayerCache, recentOf, type Settled } from "./cache.ts";
import { linear } from "../layers.ts";
import { type FLASHOptions, hiddenDim, layerOptions } from "../options.ts";
import { BUCKETS, type LayerParameters, type TransformerParameters } from "../parameters.ts";
import {
  biasByDistance,
  bucketRows,
  type RotaryTables,
  rotaryTables,
  sinusoidalPositions,
} from "../positions.ts";
import type { TransformerModel } from "../training.ts";
import { embed, logitsOf } from "../transformer.ts";

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

/** Bias of a key by its distance from the query in each layer [layers, 2c], in the order of `bucketRows`. */
export function distanceBiases(
  { options: { groupSize, causal, queryKeyDim } }: TransformerModel,
  { layers }: TransformerParameters<tf.Tensor>,
): tf.Tensor2D {
  return tf.tidy(() => {
    const rows = bucketRows(groupSize, causal, BUCKETS);
    const biases = layers.map((own) => biasByDistance(own.relPosBias!, rows, Math.sqrt(queryKeyDim)));
    return tf.stack(biases.map((bias) => tf.reshape(bias, [-1]))) as tf.Tensor2D;
  });
}

/**
 * One token more. Where {@linkcode isFull} says so after it, the caches have to be settled.
 *
 * @param biases of {@linkcode distanceBiases}
 * @param ids the token of each sequence [b, 1], int32
 */
export function decodeToken(
  { options }: TransformerModel,
  parameters: TransformerParameters<tf.Tensor>,
  biases: tf.Tensor,
  ids: tf.Tensor,
  place: Place,
  caches: readonly LayerCache[],
): Decoded {
  const layer = layerOptions(options);
  const group = openGroup(layer.groupSize, place.row);
  let x = embed(parameters, ids, place.sinusoid); // [b, 1, d]
  const next = parameters.layers.map((own, index) => {
    const bias = tf.reshape(tf.slice(biases, [index, 0], [1, -1]), [-1, 1]); // [2c, 1]
    const step = layerStep(own, x, layer, place, { ...group, bias }, caches[index]);
    x = step.x;
    return step.cache;
  });
  return { logits: nextLogits(parameters, x), caches: next };
}

/**
 * Moves the recent tokens to the others of the open group; a group that is full is closed.
 *
 * @param row of the last token in its group [1], int32
 */
export function settle(
  { recentQuadKeys, recentLinKeys, recentValues, quadKeys, values, open, past }: LayerCache,
  row: tf.Tensor1D,
  c: number,
): Settled {
  const r = recentOf(c);
  const { start, slot } = slotOf(row, c);
  const b = quadKeys.shape[0] / c;
  const inGroup = (x: tf.Tensor) => tf.sub(tf.range(0, c, 1, "int32"), x); // [c]
  const isRecent = tf.reshape(
    tf.logicalAnd(tf.greaterEqual(inGroup(start), scalar(0)), tf.less(inGroup(start), scalar(r))),
    [1, c, 1],
  );
  const from = tf.clipByValue(inGroup(start), 0, r - 1); // [c]
  const sequence = tf.mul(tf.reshape(tf.range(0, b, 1, "int32"), [b, 1]), scalar(r));
  const rows = tf.reshape(tf.add(sequence, tf.cast(from, "int32")), [-1]); // [b · c]
  const moved = (cached: tf.Tensor, recent: tf.Tensor) => {
    const grouped = [b, c, cached.shape[1]!];
    const there = tf.where(
      isRecent,
      tf.reshape(gatherRows(recent, rows), grouped),
      tf.reshape(cached, grouped),
    );
    return tf.reshape(there, cached.shape);
  };
  const filled = tf.lessEqual(tf.range(0, r, 1, "int32"), slot); // [r]
  const linKeys = tf.mul(grouped(recentLinKeys, r), tf.reshape(tf.cast(filled, "float32"), [1, r, 1]));
  const sum = tf.add(open, tf.reshape(contextOf(linKeys, grouped(recentValues, r), c), open.shape));
  const closes = tf.cast(tf.equal(row, scalar(c - 1)), "float32"); // [1]
  return {
    quadKeys: moved(quadKeys, recentQuadKeys),
    values: moved(values, recentValues),
    open: tf.mul(sum, tf.sub(1, closes)),
    past: tf.add(past, tf.mul(sum, closes)),
  };
}

/** Rows of all sequences [b · n, f] by sequence [b, n, f]. */
const grouped = (x: tf.Tensor, n: number) => tf.reshape(x, [-1, n, x.shape[1]!]);

const scalar = (value: number) => tf.scalar(value, "int32");

/** Row of the first recent token, and the place among them of the one at a row of its group: [1] each. */
function slotOf(row: tf.Tensor1D, c: number): { start: tf.Tensor; slot: tf.Tensor } {
  const slot = tf.mod(row, scalar(recentOf(c)));
  return { start: tf.sub(row, slot), slot };
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
  const r = recentOf(c), e = hiddenDim(options);
  const closed = n! - n! % c, recent = n! - (n! % c) % r;
  const [, , quadKey, linKey] = tf.unstack(queriesAndKeys); // [b, n, s] each
  const rows = (x: tf.Tensor, begin: number, end: number) =>
    tf.slice(x, [0, begin, 0], [b, end - begin, x.shape[2]!]);
  const padded = (x: tf.Tensor, begin: number, end: number, size: number) => {
    const all = begin === end
      ? tf.zeros([b, size, x.shape[2]!])
      : tf.pad(rows(x, begin, end), [[0, 0], [0, size - (end - begin)], [0, 0]]);
    return tf.reshape(all, [b * size, x.shape[2]!]);
  };
  const context = (begin: number, end: number) => {
    if (begin === end) return tf.zeros([b * s, e]);
    return tf.reshape(contextOf(rows(linKey, begin, end), rows(value, begin, end), c), [b * s, e]);
  };
  return {
    before: tf.slice(normed, [0, n! - 1, 0], [b, 1, dim / 2]),
    recentQuadKeys: padded(quadKey, recent, n!, r),
    recentLinKeys: padded(linKey, recent, n!, r),
    recentValues: padded(value, recent, n!, r),
    quadKeys: padded(quadKey, closed, recent, c),
    values: padded(value, closed, recent, c),
    open: context(closed, recent),
    past: context(0, closed),
  };
}

/** Some keys of the open group as the token sees them, n of them. */
interface Seen {
  /** Ones for those that it sees, then zeros [1, 1, n]. */
  visible: tf.Tensor;
  /** Which bias is for each one's distance from the token [n], int32. */
  distances: tf.Tensor;
}

/** The open group as the token at one of its rows sees it. */
interface OpenGroup {
  /** Those before the recent tokens, c of them. */
  others: Seen;
  /** The recent tokens and itself, r of them. */
  recent: Seen;
  /** True where the token goes among the recent ones [1, r, 1]. */
  here: tf.Tensor;
}

function openGroup(c: number, row: tf.Tensor1D): OpenGroup {
  const r = recentOf(c);
  const { start, slot } = slotOf(row, c);
  const seen = (rows: tf.Tensor, end: tf.Tensor): Seen => ({
    visible: tf.reshape(tf.cast(tf.less(rows, end), "float32"), [1, 1, -1]),
    // bias k is for distance k or k − 2c
    distances: tf.mod(tf.add(tf.sub(rows, row), scalar(2 * c)), scalar(2 * c)),
  });
  const places = tf.range(0, r, 1, "int32");
  return {
    others: seen(tf.range(0, c, 1, "int32"), start),
    recent: seen(tf.add(places, start), tf.add(row, scalar(1))),
    here: tf.reshape(tf.equal(places, slot), [1, r, 1]),
  };
}

/** One layer for one token: x is [b, 1, d]. */
function layerStep(
  parameters: LayerParameters<tf.Tensor>,
  x: tf.Tensor,
  options: Required<FLASHOptions>,
  rotary: RotaryTables,
  group: OpenGroup & { bias: tf.Tensor },
  cache: LayerCache,
): { x: tf.Tensor; cache: LayerCache } {
  const { dim, groupSize, laplaceAttnFn } = options;
  const { normed, gate, value, queriesAndKeys } = project(parameters, x, options, rotary, cache.before);
  const [quadQuery, linQuery, quadKey, linKey] = tf.unstack(queriesAndKeys); // [b, 1, s] each
  const put = (recent: tf.Tensor, row: tf.Tensor) =>
    tf.reshape(tf.where(group.here, row, grouped(recent, recentOf(groupSize))), recent.shape);
  const next: LayerCache = {
    ...cache,
    before: tf.slice(normed, [0, 0, 0], [normed.shape[0], 1, dim / 2]),
    recentQuadKeys: put(cache.recentQuadKeys, quadKey),
    recentLinKeys: put(cache.recentLinKeys, linKey),
    recentValues: put(cache.recentValues, value),
  };

  const weigh = (products: tf.Tensor, distances: tf.Tensor) => {
    const bias = tf.reshape(gatherRows(group.bias, distances), [1, 1, -1]);
    return attentionFunction(laplaceAttnFn)(tf.add(tf.div(products, groupSize), bias));
  };
  const attendTo = (keys: tf.Tensor, values: tf.Tensor, { distances, visible }: Seen) =>
    times(tf.mul(weigh(times(quadQuery, keys, true), distances), visible), values);
  const near = [
    attendTo(cache.quadKeys, cache.values, group.others),
    attendTo(next.recentQuadKeys, next.recentValues, group.recent),
  ]; // [b, 1, e] each
  const far = times(linQuery, cache.past); // [b, 1, e]
  const out = linear(tf.mul(gate, tf.addN([...near, far])), parameters.toOut);
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
