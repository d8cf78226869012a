/**
 * Gradients of every operation that gated-attention transformers use, against finite differences, on both backends.
 *
 * @module
 */

import assert from "node:assert/strict";
import { gatherRows, initBackend, tf } from "../../src/tensorflow/mod.ts";
import { uniformArray } from "../../src/prng.ts";

await initBackend();

/** Half the distance of the two points of a difference. */
const STEP = 1e-2;
/**
 * The loss is of size 1, so float32's rounding adds about 1e-7 / STEP to a difference quotient, and the cubic term of the
 * functions below about STEP² = 1e-4; an entry of a wrong gradient is off by 0.1 and more.
 */
const TOLERANCE = 2e-3;

type Inputs = tf.Tensor[];
type Case = [name: string, shapes: number[][], f: (...inputs: Inputs) => tf.Tensor];

const ids = [[2, 0, 2], [1, 2, 0]];
const CASES: Case[] = [
  ["matMul", [[2, 3], [3, 2]], (a, b) => tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D)],
  ["matMul, first transposed", [[3, 2], [3, 2]], (a, b) => tf.matMul(a, b, true, false)],
  ["matMul, second transposed", [[2, 3], [2, 3]], (a, b) => tf.matMul(a, b, false, true)],
  ["matMul, both transposed", [[3, 2], [2, 3]], (a, b) => tf.matMul(a, b, true, true)],
  ["matMul in batches", [[2, 2, 3], [2, 3, 2]], (a, b) => tf.matMul(a, b)],
  ["matMul in batches, first transposed", [[2, 3, 2], [2, 3, 2]], (a, b) => tf.matMul(a, b, true, false)],
  ["matMul in batches, second transposed", [[2, 2, 3], [2, 2, 3]], (a, b) => tf.matMul(a, b, false, true)],
  ["matMul in batches of batches", [[2, 1, 2, 3], [2, 1, 3, 2]], (a, b) => tf.matMul(a, b)],
  ["add, broadcast", [[2, 3], [3]], (a, b) => tf.add(a, b)],
  ["sub, broadcast", [[2, 3], [2, 1]], (a, b) => tf.sub(a, b)],
  ["mul, broadcast", [[2, 1, 3], [2, 1]], (a, b) => tf.mul(a, b)],
  ["div, broadcast", [[2, 3], [1]], (a, b) => tf.div(a, tf.add(b, 2))],
  ["relu", [[7]], (x) => tf.relu(x)],
  ["square", [[4]], (x) => tf.square(x)],
  ["sqrt", [[4]], (x) => tf.sqrt(tf.add(x, 2))],
  ["rsqrt", [[4]], (x) => tf.rsqrt(tf.add(x, 2))],
  ["exp", [[4]], (x) => tf.exp(x)],
  ["log", [[4]], (x) => tf.log(tf.add(x, 2))],
  ["sin and cos", [[4]], (x) => tf.mul(tf.sin(x), tf.cos(x))],
  ["erf", [[5]], (x) => tf.erf(x)],
  ["sigmoid", [[5]], (x) => tf.sigmoid(x)],
  ["tanh", [[5]], (x) => tf.tanh(x)],
  ["softmax", [[2, 3]], (x) => tf.softmax(x)],
  ["logSumExp", [[2, 3]], (x) => tf.logSumExp(x, -1, true)],
  ["sum, one axis", [[2, 3]], (x) => tf.sum(x, 0)],
  ["mean, kept axis", [[2, 3]], (x) => tf.mean(x, -1, true)],
  ["max", [[2, 3]], (x) => tf.max(x, -1)],
  ["maximum", [[5], [5]], (a, b) => tf.maximum(a, b)],
  ["clipByValue", [[5]], (x) => tf.clipByValue(x, -0.5, 0.6)],
  ["where", [[5], [5]], (a, b) => tf.where(tf.tensor1d([1, 0, 0, 1, 1], "bool"), a, b)],
  ["slice", [[2, 4]], (x) => tf.slice(x, [0, 1], [2, 2])],
  ["concat", [[2, 2], [2, 1]], (a, b) => tf.concat([a, b], 1)],
  ["split", [[2, 4]], (x) => tf.mul(...tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor])],
  ["stack and unstack", [[2, 2], [2, 2]], (a, b) => tf.mul(...pair(tf.unstack(tf.stack([a, b], 1), 1)))],
  ["pad", [[2, 2]], (x) => tf.pad(x, [[0, 1], [2, 0]])],
  ["reshape", [[2, 3]], (x) => tf.reshape(x, [3, 2])],
  ["transpose", [[2, 3, 2]], (x) => tf.transpose(x, [2, 0, 1])],
  ["tile", [[1, 3]], (x) => tf.tile(x, [2, 2])],
  ["expandDims and squeeze", [[3]], (x) => tf.squeeze(tf.square(tf.expandDims(x, 0)))],
  ["cumsum, last axis", [[2, 3]], (x) => tf.cumsum(x, 1, true)],
  ["gather", [[3, 2]], (x) => tf.gather(x, tf.tensor1d([2, 0, 2], "int32"))],
  ["gatherRows", [[3, 2]], (x) => gatherRows(x, tf.tensor2d(ids, [2, 3], "int32"))],
];

function pair([a, b]: tf.Tensor[]): [tf.Tensor, tf.Tensor] {
  return [a, b];
}

/** Values between −1 and 1, none within 0.1 of 0 or of a clipping bound, where differences would cross a kink. */
function valuesFor(shape: number[], purpose: string): Float32Array {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  return uniformArray(size, 1, purpose, 0.15, 0.45).map((value, i) => i % 2 === 0 ? value : -2 * value);
}

/** Sum of f's results, each with a weight of its own, so that no two entries of the gradient are equal by chance. */
function lossOf(f: Case[2], inputs: Inputs): tf.Scalar {
  const result = f(...inputs);
  const weights = tf.tensor(uniformArray(result.size, 2, "weights", 0.5, 1.5), result.shape);
  return tf.sum(tf.mul(result, weights)) as tf.Scalar;
}

/** The gradient for input `which`, entry by entry. */
function differences(f: Case[2], shapes: number[][], values: Float32Array[], which: number): number[] {
  const lossAt = (place: number, offset: number) => {
    const moved = values.map((one, i) => i === which ? one.map((v, j) => j === place ? v + offset : v) : one);
    return lossOf(f, moved.map((one, i) => tf.tensor(one, shapes[i]))).dataSync()[0];
  };
  return Array.from(values[which], (_, place) => (lossAt(place, STEP) - lossAt(place, -STEP)) / (2 * STEP));
}

for (const backend of ["tensorflow", "cpu"]) {
  for (const [name, shapes, f] of CASES) {
    Deno.test(`the gradient of ${name} on ${backend} is that of finite differences`, async () => {
      await tf.setBackend(backend);
      tf.tidy(() => {
        const values = shapes.map((shape, i) => valuesFor(shape, `${name} ${i}`));
        const inputs = values.map((one, i) => tf.tensor(one, shapes[i]));
        const gradients = tf.grads((...inputs: Inputs) => lossOf(f, inputs))(inputs);
        gradients.forEach((gradient, which) => {
          const expected = differences(f, shapes, values, which);
          assert.deepEqual(gradient.shape, shapes[which]);
          gradient.dataSync().forEach((value, place) => {
            const error = Math.abs(value - expected[place]);
            const where = `input ${which}, entry ${place}: ${value}, by differences ${expected[place]}`;
            assert.ok(error < TOLERANCE * Math.max(1, Math.abs(expected[place])), where);
          });
        });
      });
    });
  }
}
