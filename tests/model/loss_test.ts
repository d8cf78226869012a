import assert from "node:assert/strict";
import { countTokens, crossEntropySum } from "../../src/model/loss.ts";
import { normalArray } from "../../src/prng.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend } from "./backends.ts";
import { assertClose } from "./fixtures.ts";

const LABELS = [[2, -1, 0], [4, 4, -1]];

eachBackend("crossEntropySum() adds up the counted tokens, and its gradient is softmax less one", () => {
  const logits = tf.tensor3d(normalArray(30, 1, "logits", 2), [2, 3, 5]);
  const labels = tf.tensor2d(LABELS, [2, 3], "int32");
  let sum = 0;
  const gradient = logits.arraySync().map((sequence, b) =>
    sequence.map((row, i) => {
      const label = LABELS[b][i];
      const exponentials = row.map(Math.exp), total = exponentials.reduce((a, x) => a + x);
      if (label >= 0) sum += Math.log(total) - row[label];
      return row.map((_, j) => label < 0 ? 0 : exponentials[j] / total - (j === label ? 1 : 0));
    })
  );
  const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => crossEntropySum(x, labels))(logits);
  assertClose(value.dataSync<"float32">(), [sum], "sum");
  assertClose(grad.dataSync<"float32">(), gradient.flat(2), "gradient");
  assert.equal(countTokens(labels).dataSync()[0], 4);
});

eachBackend("crossEntropySum() stands logits that exp() doesn't", () => {
  const logits = tf.tensor3d([1e4, 0, -1e4], [1, 1, 3]);
  const { value, grad } = tf.valueAndGrad((x: tf.Tensor) =>
    crossEntropySum(x, tf.tensor2d([[2]], [1, 1], "int32"))
  )(logits);
  assert.equal(value.dataSync()[0], 2e4);
  assert.deepEqual([...grad.dataSync()], [1, 0, -1]);
});

eachBackend("crossEntropySum() is zero with a gradient of zeros where no label counts", () => {
  const { value, grad } = tf.valueAndGrad((x: tf.Tensor) =>
    crossEntropySum(x, tf.tensor2d([[-1, -1]], [1, 2], "int32"))
  )(tf.ones([1, 2, 3]));
  assert.equal(value.dataSync()[0], 0);
  assert(grad.dataSync().every((value) => value === 0));
});
