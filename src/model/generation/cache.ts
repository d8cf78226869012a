/**
 * The cache of a causal transformer: what it keeps of earlier tokens, so that one more costs the same at every position.
 *
 * Legend: b batch, c tokens in a group, r recent tokens, d model, s query/key, e hidden.
 *
 * @module
 */

import type { tf } from "../../tensorflow/mod.ts";

/**
 * The cache of one layer. Quadratic attention needs keys and values of the open group, to which the next token belongs; linear
 * attention needs one matrix for all closed groups, its context Σ kᵀ v / c. The last few tokens of the open group are stored
 * apart, so that a new token copies a few rows and not the whole group. Rows not filled yet hold finite values of no meaning.
 *
 * The rows of all sequences form one matrix: XLA reads a matrix that is an input in memory order, but one that is reshaped
 * first column by column, six times slower.
 */
export interface LayerCache {
  /** The half of the last token's normalized features that token shift hands to the next token [b, 1, d / 2]. */
  before: tf.Tensor;
  /** Quadratic keys of the recent tokens [b · r, s]. */
  recentQuadKeys: tf.Tensor;
  /** Linear keys of the recent tokens [b · r, s]. */
  recentLinKeys: tf.Tensor;
  /** Values of the recent tokens [b · r, e]. */
  recentValues: tf.Tensor;
  /** Quadratic keys of the open group, up to the recent tokens [b · c, s]. */
  quadKeys: tf.Tensor;
  /** Values of the open group, up to the recent tokens [b · c, e]. */
  values: tf.Tensor;
  /** Linear attention's context of the open group, up to the recent tokens [b · s, e]. */
  openContext: tf.Tensor;
  /** Linear attention's context of the closed groups [b · s, e]. */
  closedContext: tf.Tensor;
}

/** The fields of a cache that {@linkcode decodeToken} changes. */
export const CHANGED_BY_TOKEN = ["before", "recentQuadKeys", "recentLinKeys", "recentValues"] as const;

/** The fields that {@linkcode flushRecent} changes. */
export const CHANGED_BY_FLUSH = ["quadKeys", "values", "openContext", "closedContext"] as const;

/** The fields of a cache that were changed by flushing its recent tokens. */
export type Flushed = Pick<LayerCache, typeof CHANGED_BY_FLUSH[number]>;

const KEYS = [...CHANGED_BY_TOKEN, ...CHANGED_BY_FLUSH];

/** The tensors of all layers' caches as one list, as compiled functions take and return them. */
export function flattenCaches(caches: readonly LayerCache[]): tf.Tensor[] {
  return caches.flatMap((cache) => KEYS.map((key) => cache[key]));
}

/** The inverse of {@linkcode flattenCaches}. */
export function unflattenCaches(tensors: readonly tf.Tensor[]): LayerCache[] {
  return Array.from({ length: tensors.length / KEYS.length }, (_, layer) => {
    const entries = KEYS.map((key, i) => [key, tensors[KEYS.length * layer + i]]);
    return Object.fromEntries(entries) as Record<keyof LayerCache, tf.Tensor>;
  });
}

/** Number of recent tokens stored apart: with more, each token copies more; with fewer, they are flushed more often. */
const RECENT = 32;

/** r: the number of recent tokens stored apart, with groups of c tokens. */
export const recentOf = (c: number) => Math.min(RECENT, c);

/** Whether the recent tokens have to be flushed after the token at this row of its group. */
export function isFull(row: number, c: number): boolean {
  return (row + 1) % recentOf(c) === 0 || row + 1 === c;
}
