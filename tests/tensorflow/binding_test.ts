/**
 * The binding by itself, without tfjs's kernels: values in and out, operations, errors, and that everything is freed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { AttributeType } from "../../src/tensorflow/attributes.ts";
import { tensorFlowBackend } from "../../src/tensorflow/backend.ts";
import { initBackend, TensorFlowError, tf } from "../../src/tensorflow/mod.ts";
import { DataType } from "../../src/tensorflow/tensor.ts";

await initBackend();
const { binding } = tensorFlowBackend()!;
const T_FLOAT = { name: "T", type: AttributeType.type, value: DataType.float32 };

Deno.test("values come back as they went in, for each type that tfjs has", () => {
  const cases = [
    [DataType.float32, Float32Array.of(1.5, -0, Infinity, 1e-30)],
    [DataType.int32, Int32Array.of(1, -2, 2 ** 31 - 1, -(2 ** 31))],
    [DataType.bool, Uint8Array.of(1, 0, 1, 1)],
    [DataType.uint8, Uint8Array.of(0, 255, 7, 8)],
  ] as const;
  for (const [dtype, values] of cases) {
    const id = binding.createTensor([2, 2], dtype, values);
    assert.deepEqual(binding.tensorDataSync(id), values);
    binding.deleteTensor(id);
  }
});

Deno.test("plain arrays are converted, and an int64 is read as two int32, low word first", () => {
  const floats = binding.createTensor([3], DataType.float32, [1, 2, 3]);
  assert.deepEqual(binding.tensorDataSync(floats), Float32Array.of(1, 2, 3));
  const long = binding.createTensor([], DataType.int64, Int32Array.of(5, 1));
  assert.deepEqual(binding.tensorDataSync(long), BigInt64Array.of(2n ** 32n + 5n));
  for (const id of [floats, long]) binding.deleteTensor(id);
});

Deno.test("texts come back, short ones and long ones, and none", () => {
  const texts = ["", "short", "longer than the 22 bytes that lie in the tensor itself", "ü"];
  assert.deepEqual(tf.concat([tf.tensor1d(texts), tf.tensor1d(["x"])]).arraySync(), [...texts, "x"]);
});

Deno.test("an empty tensor has no values", () => {
  assert.deepEqual(tf.concat([tf.zeros([0, 3]), tf.zeros([0, 3])]).dataSync(), new Float32Array(0));
});

Deno.test("complex numbers work", () => {
  const square = tf.complex([1, 0], [2, 1]).mul(tf.complex([1, 0], [2, 1]));
  assert.deepEqual(tf.real(square).arraySync(), [-3, -1]);
  assert.deepEqual(tf.imag(square).arraySync(), [4, 0]);
});

Deno.test("a number of values that is not that of the shape is refused", () => {
  assert.throws(() => binding.createTensor([3], DataType.float32, Float32Array.of(1)), {
    name: "RangeError",
    message: "a tensor of shape [3] takes 12 bytes of values, and 4 were given",
  });
});

Deno.test("what TensorFlow refuses is a TensorFlowError with the operation, its message and its code", () => {
  const [a, b] = [[2, 3], [2, 3]].map((shape) => tf.zeros(shape));
  assert.throws(
    () => tensorFlowBackend()!.executeSingleOutput("MatMul", [T_FLOAT], [a, b]),
    (error: unknown) => {
      assert.ok(error instanceof TensorFlowError);
      assert.match(error.message, /^MatMul: .*Matrix size-incompatible/);
      assert.equal(error.code, "INVALID_ARGUMENT");
      return true;
    },
  );
  assert.throws(() => binding.executeOp("NoSuchOperation", [], [], 1), /^TensorFlowError: NoSuchOperation: /);
});

Deno.test("an attribute that no kernel has is rejected with its name", () => {
  const attribute = { name: "T", type: AttributeType.type, value: "float" };
  assert.throws(
    () => binding.executeOp("Relu", [attribute], [], 1),
    /^TypeError: attribute T: type number 4 /,
  );
});

Deno.test("a tensor that was deleted can't be used", () => {
  const id = binding.createTensor([1], DataType.float32, [1]);
  binding.deleteTensor(id);
  binding.deleteTensor(id); // twice does nothing, as in tfjs-node
  assert.throws(() => binding.executeOp("Relu", [T_FLOAT], [id], 1), /tensor \d+ is not there/);
});

Deno.test("saved models are refused with what to use instead", () => {
  assert.throws(() => binding.loadSavedModel(), /readSafetensors/);
  assert.equal(binding.getNumOfSavedModels(), 0);
});

Deno.test("operations, their errors and readings leave no tensor and no memory behind", () => {
  const work = () =>
    tf.tidy(() => {
      const x = tf.ones([256, 256]);
      tf.grad((x: tf.Tensor) => tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D).sum())(x).dataSync();
      assert.throws(() => tensorFlowBackend()!.executeSingleOutput("MatMul", [T_FLOAT], [x, tf.zeros([3])]));
      tf.concat([tf.tensor1d(["a", "b"]), tf.tensor1d(["c"])]).dataSync();
    });
  for (let i = 0; i < 50; i++) work();
  const before = { tensors: binding.getNumOfTensors(), bytes: Deno.memoryUsage().rss };
  for (let i = 0; i < 300; i++) work();
  assert.equal(binding.getNumOfTensors(), before.tensors);
  // 300 rounds make some 300 MB of tensors; the allocators' own movements were seen to stay below 20 MB
  const grown = Deno.memoryUsage().rss - before.bytes;
  assert.ok(grown < 60e6, `resident memory grew by ${grown} bytes`);
});
