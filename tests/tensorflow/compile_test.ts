/**
 * compile(): the three paths agree, what can't be recorded is refused, the event loop stays free, and all is freed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { tensorFlowBackend } from "../../src/tensorflow/backend.ts";
import {
  compile,
  type ExecutionPath,
  gatherRows,
  initBackend,
  RecordingError,
  statelessUniform,
  tf,
} from "../../src/tensorflow/mod.ts";
import { uniformArray } from "../../src/prng.ts";

await initBackend({ threads: 2 });
const { binding } = tensorFlowBackend()!;

const PATHS: ExecutionPath[] = ["compiled", "recorded", "eager"];

/** A tensor with values between −1 and 1. */
function values(shape: number[], purpose = "values"): tf.Tensor {
  return tf.tensor(uniformArray(shape.reduce((a, b) => a * b, 1), 1, purpose, -1, 1), shape);
}

/** Both within `tolerance` of each other. */
function assertClose(actual: tf.Tensor, expected: tf.Tensor, tolerance: number): void {
  assert.deepEqual(actual.shape, expected.shape);
  const difference = tf.max(tf.abs(tf.sub(actual, expected))).dataSync()[0];
  assert.ok(difference <= tolerance, `largest difference ${difference}`);
}

/** A layer like those of a gated-attention transformer, with embedding, dropout, loss and gradients. */
function trainingStep(table: tf.Tensor, weights: tf.Tensor, ids: tf.Tensor, seed: tf.Tensor) {
  const loss = (table: tf.Tensor, weights: tf.Tensor) => {
    const x = gatherRows(table, ids); // [b, n, d]
    const [b, n, d] = x.shape;
    const hidden = tf.reshape(tf.matMul(tf.reshape(x, [-1, d]) as tf.Tensor2D, weights as tf.Tensor2D), [
      b,
      n,
      d,
    ]);
    const [left, right] = tf.split(tf.mul(hidden, tf.sigmoid(hidden)), 2, -1); // [b, n, d / 2]
    const scores = tf.square(tf.relu(tf.matMul(left, right, false, true))); // [b, n, n]
    const kept = tf.greaterEqual(statelessUniform([b, n, n], seed as tf.Tensor1D), 0.1);
    const out = tf.matMul(tf.mul(scores, tf.cast(kept, "float32")), x); // [b, n, d]
    const shifted = tf.concat([tf.zeros([b, 1, d]), tf.slice(out, [0, 0, 0], [b, n - 1, d])], 1);
    return tf.sum(tf.sub(tf.logSumExp(shifted, -1), tf.mean(tf.erf(shifted), -1))) as tf.Scalar;
  };
  const { value, grads: [tableGradient, weightsGradient] } = tf.valueAndGrads(loss)([table, weights]);
  return { loss: value, tableGradient, weights: tf.sub(weights, tf.mul(weightsGradient, 0.01)) };
}

/** Inputs for it: b = 2, n = 5, d = 8. */
function stepInputs(): [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor] {
  const ids = tf.tensor2d([[1, 2, 3, 2, 0], [4, 4, 1, 0, 3]], [2, 5], "int32");
  return [values([6, 8], "table"), values([8, 8], "weights"), ids, tf.tensor1d([3, 4], "int32")];
}

Deno.test("a step with gradients inside gives on each path what it gives directly, and says which path it took", async () => {
  const inputs = stepInputs();
  const expected = trainingStep(...inputs);
  for (const path of PATHS) {
    const step = compile(trainingStep, { path });
    assert.equal(step.path, undefined);
    const result = await step(...inputs);
    assert.deepEqual(Object.keys(result), Object.keys(expected));
    // sums of fewer than 100 products of size 1, in another order: a few units of float32's last place, 1e-7
    for (const name of ["loss", "tableGradient", "weights"] as const) {
      assertClose(result[name], expected[name], 1e-5);
    }
    assert.equal(step.path, path);
    assert.equal(step.reason, undefined);
    step.dispose();
  }
});

Deno.test("calling twice gives the same bits, and other inputs other results", async () => {
  const step = compile(trainingStep);
  const [table, weights, ids, seed] = stepInputs();
  const results = [];
  for (const one of [seed, seed, tf.tensor1d([3, 5], "int32")]) {
    results.push((await step(table, weights, ids, one)).weights.dataSync());
  }
  assert.deepEqual(results[0], results[1]);
  assert.notDeepEqual(results[0], results[2], "another dropout seed");
  step.dispose();
});

Deno.test("statelessUniform() gives the same numbers on each path, for any seed and length", async () => {
  for (const shape of [[1], [4], [3, 5, 7], [1000]]) {
    for (const seed of [[0, 0], [-1, 2 ** 31 - 1]]) {
      const expected = statelessUniform(shape, seed as [number, number]).dataSync();
      for (const path of PATHS) {
        const uniform = compile((seed: tf.Tensor1D) => statelessUniform(shape, seed), { path });
        assert.deepEqual(
          (await uniform(tf.tensor1d(seed, "int32"))).dataSync(),
          expected,
          `${path} ${shape} ${seed}`,
        );
        uniform.dispose();
      }
    }
  }
});

Deno.test("a result may be a tensor, an array, an object, an input, or something that does not depend on inputs", async () => {
  for (const path of PATHS) {
    const single = compile((x: tf.Tensor) => tf.add(x, 1), { path });
    assert.equal((await single(tf.scalar(1))).dataSync()[0], 2);
    const several = compile((x: tf.Tensor) => [x, x, tf.scalar(5), tf.cast(x, "bool")], { path });
    const input = tf.scalar(3);
    const results = await several(input);
    assert.deepEqual(results.map((result) => result.dtype), ["float32", "float32", "float32", "bool"]);
    tf.dispose(results.slice(0, 1)); // a result that is an input is a tensor of its own
    assert.equal(input.dataSync()[0], 3);
    assert.deepEqual(results.slice(1).map((result) => result.dataSync()[0]), [3, 5, 1]);
    const none = compile(() => ({ constant: tf.ones([2]) }), { path });
    assert.deepEqual((await none()).constant.arraySync(), [1, 1]);
    for (const fn of [single, several, none]) fn.dispose();
  }
});

Deno.test("each shape and each type of inputs is recorded once", async () => {
  let recordings = 0;
  const double = compile((x: tf.Tensor) => {
    recordings++;
    return tf.add(x, x);
  });
  for (const shape of [[2], [3], [2, 2], [2], [3]]) {
    assertClose(await double(values(shape)), tf.mul(values(shape), 2), 0);
  }
  assert.equal(recordings, 3);
  assert.equal((await double(tf.tensor1d([1, 2], "int32"))).dtype, "int32");
  assert.equal(recordings, 4);
  double.dispose();
});

Deno.test("an input whose value is not what its shape says is refused, because XLA would not notice", async () => {
  const double = compile((x: tf.Tensor) => tf.add(x, x));
  (await double(values([3, 5]))).dispose();
  const x = values([15]);
  const wrong = new Proxy(x, {
    get: (target, name) => name === "shape" ? [3, 5] : Reflect.get(target, name),
  });
  await assert.rejects(double(wrong), /input 0 is \[15\] of type number 1, and was \[3,5\]/);
  double.dispose();
});

Deno.test("what is no tensor is refused, as an input and as a result", async () => {
  const identity = compile((x: tf.Tensor) => x);
  await assert.rejects(
    identity(3 as unknown as tf.Tensor),
    /number 0 is number: pass numbers as tf\.scalar\(\)/,
  );
  const asynchronous = compile((() => Promise.resolve(tf.scalar(1))) as unknown as () => tf.Tensor);
  await assert.rejects(asynchronous(), /a promise: it can't be async/);
  const number = compile((() => 3) as unknown as () => tf.Tensor);
  await assert.rejects(number(), /gave number/);
});

Deno.test("tensors from outside are captured, small and large, and may be disposed after the recording", async () => {
  for (const path of ["compiled", "recorded"] as const) {
    const small = tf.scalar(2), large = values([50, 50]);
    const expected = tf.mul(large, 2);
    const fn = compile((x: tf.Tensor) => tf.mul(tf.mul(large, small), x), { path });
    assertClose(await fn(tf.scalar(1)), expected, 0);
    tf.dispose([small, large]);
    assertClose(await fn(tf.scalar(1)), expected, 0);
    fn.dispose();
  }
});

Deno.test("a tensor that is first used while recording can be used afterwards", async () => {
  const outside = tf.tensor1d([1, 2, 3]); // tfjs uploads its values at first use
  const fn = compile((x: tf.Tensor) => tf.add(x, outside));
  (await fn(tf.scalar(1))).dispose();
  assert.deepEqual(tf.add(outside, 1).arraySync(), [2, 3, 4]);
  fn.dispose();
});

Deno.test("large tensors made inside are part of the function", async () => {
  const fn = compile((x: tf.Tensor) =>
    tf.add(x, tf.tensor1d(Float32Array.from({ length: 5000 }, (_, i) => i)))
  );
  for (let call = 0; call < 2; call++) assert.equal((await fn(tf.scalar(1))).dataSync()[4999], 5000);
  fn.dispose();
});

Deno.test("variables are used by their value at each call, also where they share it with a tensor", async () => {
  const initial = tf.tensor1d([1, 2]);
  const variable = tf.variable(initial);
  const moved = compile(() => tf.sub(variable, initial));
  assert.deepEqual((await moved()).arraySync(), [0, 0]);
  variable.assign(tf.tensor1d([5, 5]));
  assert.deepEqual((await moved()).arraySync(), [4, 3]);
  variable.dispose();
  await assert.rejects(moved(), /uses variable .*, which is disposed/);
  moved.dispose();
});

Deno.test("gradients for variables work inside", async () => {
  const variable = tf.variable(tf.tensor1d([1, 2]), true, "weights of the test");
  const gradients = compile(() => {
    const { grads } = tf.variableGrads(() => tf.sum(tf.square(variable)) as tf.Scalar, [variable]);
    return grads;
  });
  assert.deepEqual((await gradients())["weights of the test"].arraySync(), [2, 4]);
  gradients.dispose();
  variable.dispose();
});

Deno.test("reading a value while recording is an error that says what to do", async () => {
  const outside = tf.tensor1d([1]);
  const readers: Record<string, (x: tf.Tensor) => tf.Tensor> = {
    "an input": (x) => tf.scalar(x.dataSync()[0]),
    "a computed tensor": (x) => tf.scalar(tf.add(x, 1).dataSync()[0]),
    "a tensor from outside": (x) => tf.add(x, outside.dataSync()[0]),
    "tf.gather": (x) => tf.gather(x, tf.cast(x, "int32") as tf.Tensor1D),
  };
  for (const [what, reader] of Object.entries(readers)) {
    const fn = compile(reader);
    await assert.rejects(fn(tf.tensor1d([0])), (error: unknown) => {
      assert.ok(error instanceof RecordingError, what);
      assert.match(error.message, /a value was read inside a recorded function/);
      return true;
    });
  }
  const gather = compile((x: tf.Tensor) => tf.gather(x, tf.tensor1d([1, 0], "int32")));
  assert.deepEqual(
    (await gather(tf.tensor1d([5, 6]))).arraySync(),
    [6, 5],
    "indices that it made itself can be read",
  );
  gather.dispose();
});

Deno.test("randomness of tfjs and assigning variables while recording are errors, and work again afterwards", async () => {
  const random = [
    () => tf.randomNormal([2]),
    () => tf.randomUniform([2]),
    () => tf.dropout(tf.ones([2]), 0.5),
  ];
  for (const fn of random) {
    await assert.rejects(compile(fn)(), {
      name: "RecordingError",
      message: /the same at every call: use statelessUniform/,
    });
    fn();
  }
  const variable = tf.variable(tf.scalar(1));
  const assign = compile(() => {
    variable.assign(tf.scalar(2));
    return variable as tf.Tensor;
  });
  await assert.rejects(assign(), {
    name: "RecordingError",
    message: /return the new value, and assign it after/,
  });
  variable.assign(tf.scalar(3));
  assert.equal(variable.dataSync()[0], 3);
  variable.dispose();
});

Deno.test("a recorded tensor that escapes can't be used, in tfjs nor in another function", async () => {
  let escaped: tf.Tensor | undefined;
  const fn = compile((x: tf.Tensor) => escaped = tf.keep(tf.add(x, 1)));
  await fn(tf.scalar(1));
  assert.throws(() => tf.add(escaped!, 1), {
    name: "RecordingError",
    message: /return it from the function as a result/,
  });
  await assert.rejects(
    compile((x: tf.Tensor) => tf.add(x, escaped!))(tf.scalar(1)),
    /of another recorded function/,
  );
  escaped!.dispose();
  fn.dispose();
});

Deno.test("an error in the function reaches the caller, and the next operations run as usual", async () => {
  const fn = compile((x: tf.Tensor) => {
    if (x.rank > 0) throw new RangeError("not so many");
    return tf.add(x, 1);
  });
  await assert.rejects(fn(tf.ones([2])), { name: "RangeError", message: "not so many" });
  assert.equal((await fn(tf.scalar(1))).dataSync()[0], 2);
  assert.equal(tf.add(1, 1).dataSync()[0], 2);
  fn.dispose();
});

Deno.test("what XLA can't compile runs recorded, and the reason is told", async () => {
  const text = compile((x: tf.Tensor) => [tf.add(x, 1), tf.tensor1d(["text"])]);
  const x = tf.scalar(1);
  const promise = text(x);
  x.dispose(); // also where it runs a second time
  const [sum, texts] = await promise;
  assert.deepEqual([sum.dataSync()[0], texts.arraySync()], [2, ["text"]]);
  assert.equal(text.path, "recorded");
  assert.match(text.reason!, /^XLA can't compile it: /);
  text.dispose();
});

Deno.test("a function whose shapes depend on values runs eagerly, and so does any on the cpu backend", async () => {
  const unique = compile((x: tf.Tensor) => tf.unique(x).values);
  assert.deepEqual((await unique(tf.tensor1d([1, 0, 1]))).arraySync(), [1, 0]);
  assert.equal(unique.path, "eager");
  assert.match(unique.reason!, /the shape that comes out of Unique\w* depends on values/);

  await tf.setBackend("cpu");
  const double = compile((x: tf.Tensor) => tf.add(x, x));
  assert.equal((await double(tf.scalar(2))).dataSync()[0], 4);
  assert.equal(double.path, "eager");
  assert.match(double.reason!, /the backend is cpu/);
  await tf.setBackend("tensorflow");
});

/** Products that take some seconds on one core. */
function slow(x: tf.Tensor): tf.Tensor {
  for (let i = 0; i < 30; i++) x = tf.mul(tf.matMul(x, x), 1e-3);
  return x;
}

Deno.test("timers continue while a function runs, and several calls may be under way, with other operations between", async () => {
  const fn = compile(slow);
  const x = values([700, 700]);
  const expected = (await fn(x)).dataSync();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  const calls = [fn(x), fn(x)];
  assert.equal(tf.add(1, 1).dataSync()[0], 2);
  for (const result of await Promise.all(calls)) assert.deepEqual(await result.data(), expected);
  clearInterval(timer);
  // a blocked event loop has one between the calls, a free one on an idle machine some hundreds
  assert.ok(ticks >= 5, `${ticks} ticks of 10 ms in two long calls`);
  fn.dispose();
});

Deno.test("a blocking call gives the same bits, and has ended when its promise is there", async () => {
  const x = values([300, 300]);
  const free = compile(slow), blocking = compile(slow, { blocking: true });
  const expected = (await free(x)).dataSync();
  (await blocking(x)).dispose(); // compiles, on another thread
  let hasTicked = false;
  setTimeout(() => hasTicked = true);
  const result = await blocking(x);
  assert.ok(!hasTicked, "the event loop ran during the call");
  assert.deepEqual(result.dataSync(), expected);
  assert.equal(blocking.path, "compiled");
  [free, blocking].forEach((fn) => fn.dispose());
});

Deno.test("inputs may be disposed while a call is under way", async () => {
  const fn = compile(slow);
  const x = values([300, 300]);
  const expected = (await fn(x)).dataSync();
  const call = fn(x);
  x.dispose();
  assert.deepEqual((await call).dataSync(), expected);
  fn.dispose();
});

Deno.test("dispose() waits for the call under way, and later calls are refused", async () => {
  const fn = compile(slow);
  const x = values([300, 300]);
  const expected = (await fn(x)).dataSync();
  const call = fn(x);
  fn.dispose();
  assert.deepEqual((await call).dataSync(), expected);
  await assert.rejects(fn(x), /after its dispose/);
});

Deno.test("tensors and resident memory stay flat over 300 calls", async () => {
  const outside = values([300, 300]);
  const fn = compile((x: tf.Tensor) => [tf.add(x, outside), tf.sum(x)]);
  const x = values([300, 300]);
  const call = async () => tf.dispose(await fn(x));
  for (let i = 0; i < 50; i++) await call();
  const before = {
    tfjs: tf.memory().numTensors,
    binding: binding.getNumOfTensors(),
    bytes: Deno.memoryUsage().rss,
  };
  for (let i = 0; i < 300; i++) await call();
  assert.equal(tf.memory().numTensors, before.tfjs);
  assert.equal(binding.getNumOfTensors(), before.binding);
  // 300 results make 108 MB; the allocators' own movements were seen to stay below 10 MB
  const grown = Deno.memoryUsage().rss - before.bytes;
  assert.ok(grown < 30e6, `resident memory grew by ${grown} bytes`);
  fn.dispose();
});

Deno.test("dispose() frees what was recorded and captured", async () => {
  const round = async () => {
    const outside = tf.ones([1000, 1000]);
    const fn = compile((x: tf.Tensor) => tf.add(x, outside), { path: "recorded" });
    tf.dispose([await fn(tf.scalar(1)), outside]);
    fn.dispose();
  };
  for (let i = 0; i < 25; i++) await round();
  const before = {
    tfjs: tf.memory().numTensors,
    binding: binding.getNumOfTensors(),
    bytes: Deno.memoryUsage().rss,
  };
  for (let i = 0; i < 50; i++) await round();
  assert.ok(tf.memory().numTensors <= before.tfjs + 50); // the scalars that went in
  assert.ok(binding.getNumOfTensors() <= before.binding + 50);
  // kept captures would be 200 MB; the allocators' own movements were seen to stay below 10 MB
  const grown = Deno.memoryUsage().rss - before.bytes;
  assert.ok(grown < 50e6, `resident memory grew by ${grown} bytes`);
});
