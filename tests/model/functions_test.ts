import assert from "node:assert/strict";
import { laplace, reluSquared } from "../../src/model/attention.ts";
import { sumUpTo } from "../../src/model/gradients.ts";
import { causalMask, shiftTokens } from "../../src/model/layers.ts";
import { layerNorm, scaleNorm } from "../../src/model/norms.ts";
import { normalArray, uniformArray } from "../../src/prng.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend } from "./backends.ts";
import { assertClose } from "./fixtures.ts";

const random = (purpose: string, ...shape: number[]) =>
  tf.tensor(normalArray(tf.util.sizeFromShape(shape), 1, purpose, 1), shape);

eachBackend("laplace() has the golden values", () => {
  const values = laplace(tf.tensor1d([0, 1, 2])).dataSync();
  // tfjs's erf in plain JavaScript is good to 1.5e-7
  [0.0060944411, 0.8504300081, 0.9999977103].forEach((golden, i) =>
    assert(Math.abs(values[i] - golden) < 2e-7)
  );
  const slope = tf.grad((x: tf.Tensor) => laplace(x))(tf.tensor1d([Math.sqrt(0.5)])).dataSync()[0];
  assert(Math.abs(slope - Math.SQRT2) < 1e-6);
});

eachBackend("reluSquared() is zero below zero, with its gradient", () => {
  const x = tf.tensor1d([-2, 0, 3]);
  assert.deepEqual([...reluSquared(x).dataSync()], [0, 0, 9]);
  assert.deepEqual([...tf.grad((x: tf.Tensor) => reluSquared(x))(x).dataSync()], [0, 0, 6]);
});

eachBackend("shiftTokens() takes the first half of the features from the token before", () => {
  const x = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [1, 3, 4]);
  assert.deepEqual(shiftTokens(x).arraySync(), [[[0, 0, 3, 4], [1, 2, 7, 8], [5, 6, 11, 12]]]);
  assert.deepEqual(shiftTokens(x.slice([0, 0, 0], [1, 1, 4])).arraySync(), [[[0, 0, 3, 4]]]);
});

eachBackend("causalMask() shows each token itself and the ones before", () => {
  assert.deepEqual(causalMask(3).arraySync(), [[1, 0, 0], [1, 1, 0], [1, 1, 1]]);
});

eachBackend("sumUpTo() and its gradient run over the groups", () => {
  const x = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 1, 2]);
  assert.deepEqual(tf.reshape(sumUpTo(x), [8]).arraySync(), [1, 2, 4, 6, 5, 6, 12, 14]);
  const weights = tf.tensor4d([1, 10, 100, 1000, 1, 10, 100, 1000], [2, 2, 1, 2]);
  const gradient = tf.grad((x: tf.Tensor) => tf.sum(tf.mul(sumUpTo(x), weights)))(x);
  assert.deepEqual(tf.reshape(gradient, [8]).arraySync(), [101, 1010, 100, 1000, 101, 1010, 100, 1000]);
});

for (const groups of [64, 65, 130]) {
  eachBackend(`sumUpTo() sums ${groups} groups as one loop does, forth and back`, () => {
    // whole numbers: every order of addition gives the same
    const values = Array.from(uniformArray(2 * groups * 3, 5, "groups", 0, 9), Math.round);
    const x = tf.tensor4d(values, [2, groups, 1, 3]);
    const flat = tf.reshape(x, [2, groups, 3]);
    const upTo = tf.cumsum(flat, 1), from = tf.cumsum(flat, 1, false, true);
    assert.deepEqual(tf.reshape(sumUpTo(x), flat.shape).arraySync(), upTo.arraySync());
    const gradient = tf.grad((y: tf.Tensor) => tf.sum(tf.mul(sumUpTo(y), x)))(tf.zerosLike(x));
    assert.deepEqual(tf.reshape(gradient, flat.shape).arraySync(), from.arraySync());
  });
}

/** ScaleNorm in tfjs's own operations, whose gradient is right where x is not zero. */
const plainScaleNorm = (x: tf.Tensor, g: tf.Tensor) =>
  tf.mul(tf.div(x, tf.sqrt(tf.mean(tf.square(x), -1, true))), g);

function plainLayerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  const { mean, variance } = tf.moments(x, -1, true);
  return tf.add(tf.mul(tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-5))), weight), bias);
}

eachBackend("the norms have the values and gradients of their formulas", () => {
  const x = random("x", 4, 6), w = random("w", 6), b = random("b", 6), g = random("g", 1);
  const cotangent = random("cotangent", 4, 6);
  const compare = (ours: (...x: tf.Tensor[]) => tf.Tensor, plain: typeof ours, inputs: tf.Tensor[]) => {
    const both = [ours, plain].map((f) =>
      tf.valueAndGrads((...x: tf.Tensor[]) => tf.sum(tf.mul(f(...x), cotangent)))(inputs)
    );
    const [actual, expected] = both.map(({ value, grads }) => [value, ...grads]);
    actual.forEach((one, i) =>
      assertClose(one.dataSync<"float32">(), expected[i].dataSync<"float32">(), `${i}`)
    );
  };
  compare((x, g) => scaleNorm(x, g), plainScaleNorm, [x, g]);
  compare((x, w, b) => layerNorm(x, w, b), plainLayerNorm, [x, w, b]);
});

eachBackend("the norms are finite at zero, and below their bounds only scale", () => {
  const zero = tf.zeros([1, 4]), one = tf.ones([1]), tiny = tf.fill([1, 4], 1e-6);
  const slope = (x: tf.Tensor) => tf.grad((x: tf.Tensor) => scaleNorm(x, one))(x).dataSync();
  // below its bound ScaleNorm is x / 1e-5
  assertClose(scaleNorm(tiny, one).dataSync<"float32">(), [0.1, 0.1, 0.1, 0.1], "value");
  for (const x of [zero, tiny]) assertClose(slope(x), [1e5, 1e5, 1e5, 1e5], "slope");
  const gradient = tf.grad((x: tf.Tensor) => layerNorm(x, tf.ones([4]), tf.zeros([4])))(zero).dataSync();
  assert(gradient.every(Number.isFinite));
});
