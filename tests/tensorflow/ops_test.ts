/**
 * The operations that tfjs lacks. Their gradients are in gradients_test.ts, recording them in compile_test.ts.
 *
 * @module
 */

import assert from "node:assert/strict";
import { philox } from "../../src/prng.ts";
import {
  filledVector,
  gatherRows,
  initBackend,
  statelessUniform,
  tf,
  timesSigmoid,
} from "../../src/tensorflow/mod.ts";

const { device } = await initBackend();

for (const backend of ["tensorflow", "cpu"]) {
  Deno.test(`gatherRows() on ${backend} gives the rows in the shape of the ids`, async () => {
    await tf.setBackend(backend);
    const table = tf.tensor2d([[1, 2], [3, 4], [5, 6]]);
    const rows = gatherRows(table, tf.tensor2d([[2, 0], [2, 1]], [2, 2], "int32"));
    assert.deepEqual(rows.arraySync(), [[[5, 6], [1, 2]], [[5, 6], [3, 4]]]);
  });

  Deno.test(`gatherRows() on ${backend} refuses ids out of range, of another type, and a table of another rank`, async () => {
    await tf.setBackend(backend);
    const table = tf.ones([3, 2]);
    const checksIds = backend === "cpu" || device === "cpu"; // a GPU does not
    if (checksIds) {
      for (const id of [3, -1]) assert.throws(() => gatherRows(table, tf.tensor1d([0, id], "int32")));
    }
    assert.throws(() => gatherRows(table, tf.tensor1d([0])), /ids of type int32, and they are float32/);
    assert.throws(
      () => gatherRows(tf.ones([3]), tf.tensor1d([0], "int32")),
      /a table \[v, d\], and it is \[3\]/,
    );
  });

  Deno.test(`gatherRows() on ${backend} adds up the gradients of rows taken twice, and leaves others zero`, async () => {
    await tf.setBackend(backend);
    const ids = tf.tensor1d([2, 0, 2], "int32");
    const gradient = tf.grad((table: tf.Tensor) => gatherRows(table, ids).sum())(tf.ones([4, 2]));
    assert.deepEqual(gradient.arraySync(), [[1, 1], [0, 0], [2, 2], [0, 0]]);
  });

  Deno.test(`statelessUniform() on ${backend} is made of the low 23 bits of Philox's words`, async () => {
    await tf.setBackend(backend);
    const words = [0, 1].flatMap((counter) => {
      const block = new Uint32Array(4);
      philox([counter, 0, 0, 0], [7, 2 ** 32 - 3], block);
      return [...block];
    });
    const expected = words.slice(0, 5).map((word) => (word % 2 ** 23) / 2 ** 23);
    assert.deepEqual(statelessUniform([5], [7, -3]).arraySync(), expected);
    assert.deepEqual(statelessUniform([5], tf.tensor1d([7, -3], "int32")).arraySync(), expected);
  });
}

Deno.test("statelessUniform() gives the same numbers on both backends, for any seed and a length that fills no block", async () => {
  for (const seed of [[0, 0], [1, 2], [-1, 5], [2 ** 31 - 1, -(2 ** 31)]] as const) {
    const [ours, theirs] = await Promise.all(["tensorflow", "cpu"].map(async (backend) => {
      await tf.setBackend(backend);
      return statelessUniform([3, 5, 7], seed).dataSync();
    }));
    assert.deepEqual(ours, theirs);
  }
});

Deno.test("statelessUniform() is uniform, and other seeds give other numbers", async () => {
  await tf.setBackend("tensorflow");
  const numbers = statelessUniform([100_000], [1, 1]);
  const { mean, variance } = tf.moments(numbers);
  // five standard deviations of the mean and of the variance of 100,000 uniform numbers
  assert.ok(Math.abs(mean.dataSync()[0] - 0.5) < 5 * Math.sqrt(1 / 12 / 1e5));
  assert.ok(Math.abs(variance.dataSync()[0] - 1 / 12) < 5 * Math.sqrt(1 / 180 / 1e5));
  assert.ok(tf.min(numbers).dataSync()[0] >= 0 && tf.max(numbers).dataSync()[0] < 1);
  const [here, there] = [[1, 1], [1, 2]].map(([a, b]) => statelessUniform([1000], [a, b]));
  assert.ok(tf.sum(tf.cast(tf.equal(here, there), "int32")).dataSync()[0] < 5);
});

for (const backend of ["tensorflow", "cpu"]) {
  Deno.test(`timesSigmoid() on ${backend} is x · sigmoid(y), for large numbers too`, async () => {
    await tf.setBackend(backend);
    const x = [3, -3, 2, 0.5, -1, 7, -7], y = [0, 2, -2, 1000, 1000, -1000, -1000];
    const found = timesSigmoid(tf.tensor1d(x), tf.tensor1d(y)).dataSync();
    x.forEach((x, i) => {
      const wanted = x / (1 + Math.exp(-y[i]));
      assert.ok(Math.abs(found[i] - wanted) <= 3e-7 * Math.abs(wanted), `${found[i]} is ${wanted}`);
    });
  });

  Deno.test(`filledVector() on ${backend} ends with zeros, and refuses what is too long`, async () => {
    await tf.setBackend(backend);
    assert.deepEqual(filledVector(Float32Array.of(1, 2), 5).arraySync(), [1, 2, 0, 0, 0]);
    assert.deepEqual(filledVector(new Float32Array(), 3).arraySync(), [0, 0, 0]);
    assert.throws(() => filledVector(Float32Array.of(1, 2, 3), 2), RangeError);
  });
}
