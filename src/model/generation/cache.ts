/**
 * What a causal transformer keeps of the tokens before, so that one more costs the same at every position.
 *
 * Legend: b batch, c tokens in a group, r recent tokens, d model, s query/key, e hidden.
 *
 * @module
 */

import type { tf } from "../../tensorflow/mod.ts";

/**
 * What a layer keeps of the tokens so far. The open group is in two parts: its last few tokens apart from the others, so
 * that a token copies a few rows and not a group. Rows that no token has filled yet hold anything finite.
 *
 * The rows of all sequences are one matrix: XLA multiplies by a matrix that it is given as it lies in memory, one that is
 * reshaped first it reads column by column, six times slower.
 */
export interface LayerCache {
  /** The half of the last token's normed features that the next token receives [b, 1, d / 2]. */
  before: tf.Tensor;
  /** Quadratic keys of the last tokens [b · r, s]. */
  recentQuadKeys: tf.Tensor;
  /** Linear keys of the last tokens [b · r, s]. */
  recentLinKeys: tf.Tensor;
  /** Values of the last tokens [b · r, e]. */
  recentValues: tf.Tensor;
  /** Quadratic keys of the open group before them [b · c, s]. */
  quadKeys: tf.Tensor;
  /** Values of the open group before them [b · c, e]. */
  values: tf.Tensor;
  /** Sum over the open group before them of linear keysᵀ · values / c [b · s, e]. */
  open: tf.Tensor;
  /** The same sum over the closed groups [b · s, e]. */
  past: tf.Tensor;
}

/** What {@linkcode decodeToken} changes of a cache. */
export const CHANGED_BY_TOKEN = ["before", "recentQuadKeys", "recentLinKeys", "recentValues"] as const;

/** What {@linkcode settle} changes of it. */
export const CHANGED_BY_SETTLING = ["quadKeys", "values", "open", "past"] as const;

/** A cache that has been settled, as far as that changes it. */
export type Settled = Pick<LayerCache, typeof CHANGED_BY_SETTLING[number]>;

const KEYS = [...CHANGED_BY_TOKEN, ...CHANGED_BY_SETTLING];

/** Caches one after the other, as recorded functions take and return them. */
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

/** How many of the last tokens are kept apart: more are copied at each token, fewer are settled more often. */
const RECENT = 32;

/** r: how many of the last tokens are kept apart, in groups of c tokens. */
export const recentOf = (c: number) => Math.min(RECENT, c);

/** Whether the recent tokens have to be settled once there is a token at this row of its group. */
export function isFull(row: number, c: number): boolean {
  return (row + 1) % recentOf(c) === 0 || row + 1 === c;
}
