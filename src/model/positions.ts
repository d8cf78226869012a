/**
 * Positions of tokens: sinusoidal positions added to the embedding, rotary embedding of queries and keys, and T5's
 * learned bias by distance. What depends only on shapes is computed here in JavaScript, in double precision, and enters the
 * model as small constants.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";

/** Angle of each frequency at n positions from `first` on; the product is rounded to float32, as PyTorch does. */
function angles(n: number, frequencies: Float32Array, first: number): Float32Array {
  const width = frequencies.length;
  const size = { length: n * width };
  return Float32Array.from(size, (_, i) => (first + Math.floor(i / width)) * frequencies[i % width]);
}

/** Sinusoidal positions [n, d] from `first` on: the sines of all frequencies, then their cosines. */
export function sinusoidalPositions(n: number, frequencies: Float32Array, first = 0): tf.Tensor2D {
  const half = frequencies.length;
  const values = new Float32Array(n * 2 * half);
  angles(n, frequencies, first).forEach((angle, i) => {
    const at = 2 * i - i % half; // each position's sines, then its cosines
    values[at] = Math.sin(angle);
    values[at + half] = Math.cos(angle);
  });
  return tf.tensor2d(values, [n, 2 * half]);
}

/** Cosine and sine of the angle by which the rotary embedding turns each pair, each [n, pairs]. */
export interface RotaryTables {
  /** [n, pairs] */
  cos: tf.Tensor2D;
  /** [n, pairs] */
  sin: tf.Tensor2D;
}

/** The tables for n positions from `first` on. */
export function rotaryTables(n: number, frequencies: Float32Array, first = 0): RotaryTables {
  const angle = angles(n, frequencies, first);
  const shape: [number, number] = [n, frequencies.length];
  return { cos: tf.tensor2d(angle.map(Math.cos), shape), sin: tf.tensor2d(angle.map(Math.sin), shape) };
}

/**
 * Turns the pairs of features (0, 1), (2, 3), … of queries or keys by their position's angles, as many pairs as the tables
 * have; the other features pass.
 *
 * @param x [..., n, s]
 */
export function rotate(x: tf.Tensor, { cos, sin }: RotaryTables): tf.Tensor {
  const pairs = cos.shape[1];
  const others = x.shape.at(-1)! - 2 * pairs;
  if (others === 0) return turnPairs(x, { cos, sin });
  const [turning, passing] = tf.split(x, [2 * pairs, others], -1);
  return tf.concat([turnPairs(turning, { cos, sin }), passing], -1);
}

/** Turns every pair of features of x [..., n, 2 pairs]. */
function turnPairs(x: tf.Tensor, { cos, sin }: RotaryTables): tf.Tensor {
  const paired = tf.reshape(x, [...x.shape.slice(0, -1), cos.shape[1], 2]);
  const [first, second] = tf.unstack(paired, -1); // [..., n, pairs] each
  const turned = tf.stack([
    tf.sub(tf.mul(first, cos), tf.mul(second, sin)),
    tf.add(tf.mul(second, cos), tf.mul(first, sin)),
  ], -1);
  return tf.reshape(turned, x.shape);
}

/** Distances from here on share the last bucket. */
const MAX_DISTANCE = 128;

/**
 * T5's bucket, 0 to `buckets` − 1, for a key `distance` tokens after its query (before it where negative): one each for small
 * distances, then buckets that widen logarithmically. Without `causal` half of the buckets are for keys after the query.
 */
export function distanceBucket(distance: number, causal: boolean, buckets: number): number {
  if (!causal) {
    const side = buckets / 2;
    return (distance > 0 ? side : 0) + distanceBucket(-Math.abs(distance), true, side);
  }
  const back = Math.max(0, -distance);
  const exact = buckets / 2;
  if (back < exact) return back;
  // log2 is exact for powers of two, where a bucket may begin
  const widening = Math.log2(back / exact) / Math.log2(MAX_DISTANCE / exact) * (buckets - exact);
  return Math.min(buckets - 1, exact + Math.trunc(widening));
}

/**
 * Which bucket each distance has, as rows of zeros and a one [2c, buckets]. Row k is for distance k where k < c, and for
 * distance k − 2c where k > c; row c is for none.
 */
export function bucketRows(c: number, causal: boolean, buckets: number): tf.Tensor2D {
  const rows = new Float32Array(2 * c * buckets);
  for (let k = 0; k < 2 * c; k++) {
    if (k !== c) rows[k * buckets + distanceBucket(k < c ? k : k - 2 * c, causal, buckets)] = 1;
  }
  return tf.tensor2d(rows, [2 * c, buckets]);
}

/**
 * Bias of a key by its distance from the query [2c, 1], from one learned value per bucket; in the order of the rows.
 *
 * @param table [buckets, 1]
 * @param rows of {@linkcode bucketRows} [2c, buckets]
 */
export function biasByDistance(table: tf.Tensor, rows: tf.Tensor2D, scale: number): tf.Tensor2D {
  return tf.mul(tf.matMul(rows, table as tf.Tensor2D), scale);
}

/**
 * Bias of every query for every key [c, c]. Plain: bias[i, j] = byDistance[j − i], a gather. Here: the 2c values by distance,
 * repeated row after row and cut into rows one shorter, shift by one from row to row. Parameters as in {@linkcode biasByDistance}.
 */
export function relativeBias(table: tf.Tensor, rows: tf.Tensor2D, scale: number): tf.Tensor2D {
  const c = rows.shape[0] / 2;
  const byDistance = biasByDistance(table, rows, scale); // [2c, 1]
  // adding zeros repeats the row; tile's gradient would be an op for every repetition
  const repeated = tf.add(tf.reshape(byDistance, [1, 2 * c]), tf.zeros([c, 1])); // [c, 2c]
  const shifted = tf.reshape(tf.slice(tf.reshape(repeated, [2 * c * c]), 0, 2 * c * c - c), [c, 2 * c - 1]);
  return tf.slice(shifted, [0, 0], [c, c]) as tf.Tensor2D;
}
