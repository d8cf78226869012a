/**
 * Inputs that are given up: the results are the same on each path, the inputs are gone, and their memory is used again.
 *
 * @module
 */

import assert from "node:assert/strict";
import { inputIds, tensorFlowBackend } from "../../src/tensorflow/backend.ts";
import { compile, type ExecutionPath, initBackend, tf } from "../../src/tensorflow/mod.ts";
import type { EagerTensor } from "../../src/tensorflow/recording.ts";

await initBackend({ threads: 2 });
const backend = tensorFlowBackend()!;

/** Results in another order than their inputs: [x + y, Σ x, 2 y]. */
const fn = (x: tf.Tensor, y: tf.Tensor) => [tf.add(x, y), tf.sum(x), tf.mul(y, 2)];

/** Where the values of a tensor lie. */
function addressOf(tensor: tf.Tensor): bigint {
  const { api, status } = backend.binding.context;
  const [id] = inputIds([tensor]);
  const { pointer } = backend.binding.tensor(id) as EagerTensor;
  const resolved = api.TFE_TensorHandleResolve(pointer, status.pointer);
  const address = Deno.UnsafePointer.value(api.TF_TensorData(resolved));
  api.TF_DeleteTensor(resolved);
  return address;
}

for (const path of ["compiled", "recorded", "eager"] satisfies ExecutionPath[]) {
  Deno.test(`donated inputs change no result, and are disposed: ${path}`, async () => {
    const before = tf.memory().numTensors, inBinding = backend.binding.getNumOfTensors();
    const step = compile(fn, { path, donate: [0, 1] });
    let [x, y] = [tf.tensor1d([1, 2, 3]), tf.tensor1d([10, 20, 30])] as tf.Tensor[];
    for (let call = 0; call < 4; call++) {
      const [expectedX, expectedY] = [x.arraySync(), y.arraySync()] as number[][];
      const [nextX, sum, nextY] = await step(x, y);
      assert.ok(x.isDisposed && y.isDisposed);
      assert.deepEqual(nextX.arraySync(), expectedX.map((value, i) => value + expectedY[i]));
      assert.deepEqual(nextY.arraySync(), expectedY.map((value) => 2 * value));
      assert.equal(sum.dataSync()[0], expectedX.reduce((a, b) => a + b));
      sum.dispose();
      [x, y] = [nextX, nextY];
    }
    assert.equal(step.path, path);
    tf.dispose([x, y]);
    step.dispose();
    assert.equal(tf.memory().numTensors, before);
    assert.equal(backend.binding.getNumOfTensors(), inBinding);
  });
}

Deno.test("compiled, a result lies where its donated input lay", async () => {
  const double = compile((x: tf.Tensor) => tf.mul(x, 2), { donate: [0] });
  let x: tf.Tensor = await double(tf.ones([100_000])); // the first call keeps its inputs for the case that XLA refuses
  for (let call = 0; call < 3; call++) {
    const address = addressOf(x);
    x = await double(x);
    assert.equal(addressOf(x), address);
  }
  assert.equal(x.dataSync()[99_999], 16);
  x.dispose();
  double.dispose();
});

Deno.test("another holder of a donated input keeps its values", async () => {
  const double = compile((x: tf.Tensor) => tf.mul(x, 2), { donate: [0] });
  (await double(tf.ones([1000]))).dispose();
  const x = tf.fill([1000], 3), kept = x.clone();
  const doubled = await double(x);
  assert.deepEqual([kept.dataSync()[7], doubled.dataSync()[7]], [3, 6]);
  tf.dispose([kept, doubled]);
  double.dispose();
});

Deno.test("where no result can take the memory of a donated input, the call says so", async () => {
  const sum = compile((x: tf.Tensor) => tf.sum(x), { donate: [0] });
  await assert.rejects(sum(tf.ones([3])), /input 0 is donated, and no result of shape \[3\]/);
  sum.dispose();
});
