/** @module */

import assert from "node:assert/strict";
import { initBackend, LentVector, tf } from "../../src/tensorflow/mod.ts";

const { device } = await initBackend();

/** Numbers that TensorFlow has computed. */
const squares = () => tf.square(tf.tensor1d([1, 2, 3])) as tf.Tensor1D;

for (const backend of ["tensorflow", "cpu"]) {
  Deno.test(`a lent vector on ${backend} is what JavaScript has made of it, and leaves nothing behind`, async () => {
    await tf.setBackend(backend);
    const before = tf.memory().numTensors;
    const lent = await LentVector.of(tf.tidy(squares));
    assert.deepEqual([...lent.values], [1, 4, 9]);
    lent.values[1] = -5;
    const tensor = lent.tensor();
    assert.deepEqual([...tensor.dataSync()], [1, -5, 9]);
    const part = lent.values.subarray(1);
    lent[Symbol.dispose]();
    lent[Symbol.dispose]();
    assert.equal(part.length, 0, "views of it are empty");
    tensor.dispose();
    assert.equal(tf.memory().numTensors, before);
  });
}

Deno.test({
  name: "on a processor neither way is a copy",
  ignore: device === "gpu",
  async fn() {
    await tf.setBackend("tensorflow");
    using lent = await LentVector.of(squares());
    const tensor = lent.tensor();
    lent.values[0] = 7; // after it was made
    assert.deepEqual([...tensor.dataSync()], [7, 4, 9]);
    tensor.dispose();
  },
});
