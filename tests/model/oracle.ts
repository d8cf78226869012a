/**
 * A FLASH layer by its definition, in float64: for every pair of a query and a key the weight with which the key counts. No
 * groups, no running sums, no tensors: n² steps where the model takes n.
 *
 * @module
 */

import type { FLASHOptions } from "../../src/model/mod.ts";

/** Parameters by name, flat. */
export type Values = Record<string, ArrayLike<number>>;

type Vector = number[];

const dot = (a: Vector, b: Vector) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const silu = (x: number) => x / (1 + Math.exp(-x));

/** erf as a series of positive terms: no cancellation. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let i = 1; i < 200; i++) sum += term *= 2 * x * x / (2 * i + 1);
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

const reluSquared = (x: number) => Math.max(0, x) ** 2;
const laplace = (x: number) => (1 + erf((x - Math.sqrt(0.5)) / Math.sqrt(1 / (2 * Math.PI)))) / 2;

function linear(x: Vector, name: string, values: Values): Vector {
  const bias = Array.from(values[`${name}.bias`]), weight = values[`${name}.weight`];
  return bias.map((b, row) => x.reduce((sum, value, i) => sum + weight[row * x.length + i] * value, b));
}

function norm(x: Vector, values: Values): Vector {
  if ("norm.g" in values) {
    const rootMeanSquare = Math.sqrt(dot(x, x) / x.length);
    return x.map((value) => value / Math.max(rootMeanSquare, 1e-5) * values["norm.g"][0]);
  }
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
  return x.map((value, i) =>
    (value - mean) / Math.sqrt(variance + 1e-5) * values["norm.weight"][i] + values["norm.bias"][i]
  );
}

function rotate(x: Vector, position: number): Vector {
  const turning = Math.min(32, x.length), out = [...x];
  for (let i = 0; i < turning; i += 2) {
    const angle = position * 10000 ** (-i / turning);
    out[i] = x[i] * Math.cos(angle) - x[i + 1] * Math.sin(angle);
    out[i + 1] = x[i + 1] * Math.cos(angle) + x[i] * Math.sin(angle);
  }
  return out;
}

/** First distance of each of the later buckets, from the table of golden values. */
const CAUSAL_STARTS = [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113];
const BOTH_STARTS = [8, 12, 16, 23, 32, 46, 64, 91];

/** T5's bucket for a key `distance` tokens after its query. */
export function bucketOf(distance: number, causal: boolean): number {
  const starts = causal ? CAUSAL_STARTS : BOTH_STARTS;
  const back = causal ? Math.max(0, -distance) : Math.abs(distance);
  const side = !causal && distance > 0 ? 16 : 0;
  return side +
    (back < starts[0] ? back : starts[0] - 1 + starts.filter((start) => start <= back).length);
}

/** The layer's output [n][d] for one sequence [n][d]. */
export function flashByDefinition(
  options: Required<FLASHOptions>,
  values: Values,
  x: Vector[],
  mask?: boolean[],
): Vector[] {
  const { causal, groupSize: c, queryKeyDim: s } = options;
  const n = x.length;
  const normed = x.map((row) => norm(row, values));
  const half = x[0].length / 2;
  const moved = !options.shiftTokens
    ? normed
    : normed.map((row, i) => row.map((value, j) => j >= half ? value : i === 0 ? 0 : normed[i - 1][j]));
  const hidden = moved.map((row) => linear(row, "to_hidden.0", values).map(silu));
  const e = hidden[0].length / 2;
  const shared = moved.map((row) => linear(row, "to_qk.0", values).map(silu));
  const head = (index: number, i: number): Vector => {
    const gamma = values["qk_offset_scale.gamma"], beta = values["qk_offset_scale.beta"];
    const scaled = shared[i].map((value, j) => value * gamma[index * s + j] + beta[index * s + j]);
    return options.rotary ? rotate(scaled, i) : scaled;
  };
  const [quadQuery, linQuery, quadKey, linKey] = [0, 1, 2, 3].map((index) => x.map((_, i) => head(index, i)));
  const attention = options.laplaceAttnFn ? laplace : reluSquared;
  const length = mask && options.divideByMaskedLength ? Math.max(1, mask.filter(Boolean).length) : n;

  const weight = (i: number, j: number): number => {
    if (mask && !mask[j]) return 0;
    const group = Math.floor(i / c) - Math.floor(j / c);
    let sum = 0;
    if (group === 0 && !(causal && j > i)) {
      const bias = values["rel_pos_bias.relative_attention_bias.weight"][bucketOf(j - i, causal)];
      sum += attention(dot(quadQuery[i], quadKey[j]) / c + bias * Math.sqrt(s));
    }
    if (causal && group > 0) sum += dot(linQuery[i], linKey[j]) / c;
    if (!causal && (options.reduceGroupNonCausalAttn || group === 0)) {
      sum += dot(linQuery[i], linKey[j]) / length;
    }
    return sum;
  };

  return x.map((row, i) => {
    const attended = new Array<number>(e).fill(0);
    for (let j = 0; j < n; j++) {
      const w = weight(i, j);
      for (let k = 0; k < e; k++) attended[k] += w * hidden[j][k];
    }
    const gated = attended.map((value, k) => value * hidden[i][e + k]);
    return linear(gated, "to_out", values).map((value, k) => value + row[k]);
  });
}
