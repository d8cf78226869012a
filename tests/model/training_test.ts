import assert from "node:assert/strict";
import { FLASHTransformer } from "../../src/model/mod.ts";
import { resolveTransformer } from "../../src/model/options.ts";
import { applyStep, type OptimizerState, stepScalars } from "../../src/model/optimizer/optimizer.ts";
import { initialParameters } from "../../src/model/parameters.ts";
import { evalStep, gradStep, type TransformerModel, transformerModel } from "../../src/model/training.ts";
import { normalArray } from "../../src/prng.ts";
import { compile, tf } from "../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "./backends.ts";
import { assertClose } from "./fixtures.ts";
import { randomIds } from "./models.ts";

/** Random ids with labels of which row b counts its last b + 1 tokens, which see the groups before. */
function batchOf(rows: number[], n: number, v: number) {
  const ids = randomIds(8, n, v), labels = randomIds(8, n, v, 2);
  const some = labels.map((row, b) => row.map((label, i) => i >= n - 1 - b ? label : -1));
  const pick = (from: number[][]) => tf.tensor2d(rows.map((row) => from[row]), [rows.length, n], "int32");
  return { ids: pick(ids), labels: pick(some) };
}

function smallModel(options = {}): { model: TransformerModel; params: tf.Tensor1D } {
  const small = { numTokens: 19, dim: 12, depth: 2, queryKeyDim: 10, groupSize: 8, causal: true, ...options };
  const model = transformerModel(resolveTransformer(small));
  const { size } = model.definition.layout;
  const start = initialParameters(model.definition, 1), jitter = normalArray(size, 1, "jitter", 0.3);
  return { model, params: tf.tensor1d(start.map((value, i) => value + jitter[i])) };
}

eachBackend("3 and 5 sequences with different numbers of counted tokens add up to the batch of 8", () => {
  const { model, params } = smallModel();
  const [three, five, eight] = [[0, 1, 2], [3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]].map((rows) =>
    gradStep(model, params, batchOf(rows, 20, 19))
  );
  assert.deepEqual([three, five, eight].map(({ tokens }) => tokens.dataSync()[0]), [6, 30, 36]);
  const sum = (name: "lossSum" | "gradient") =>
    tf.add(three[name] as tf.Tensor, five[name] as tf.Tensor).dataSync<"float32">();
  // sums in another order: the bound of the fixtures
  assertClose(sum("lossSum"), eight.lossSum.dataSync<"float32">(), "loss");
  assertClose(sum("gradient"), eight.gradient.dataSync<"float32">(), "gradient");
});

eachBackend("gradStep()'s gradient is what the loss does when a parameter moves", () => {
  const { model, params } = smallModel({ laplaceAttnFn: true });
  const batch = batchOf([5, 7], 20, 19);
  const gradient = gradStep(model, params, batch).gradient.dataSync<"float32">();
  const direction = normalArray(params.size, 1, "direction", 1);
  const slope = gradient.reduce((sum, value, i) => sum + value * direction[i], 0);
  const at = (h: number) =>
    evalStep(model, tf.add(params, tf.mul(tf.tensor1d(direction), h)), batch).lossSum.dataSync()[0];
  const measured = (at(1e-3) - at(-1e-3)) / 2e-3;
  // the difference of two float32 losses of about 40 is good to 1e-5 of them
  assert(Math.abs(measured / slope - 1) < 0.01, `${measured} is not ${slope}`);
});

eachBackend("gradStep() drops by its seed, evalStep() not at all", () => {
  const { model, params } = smallModel({ attnDropout: 0.3 });
  const batch = batchOf([5, 7], 20, 19);
  const loss = (seed?: number) =>
    gradStep(model, params, batch, seed === undefined ? undefined : tf.tensor1d([0, seed], "int32"))
      .lossSum.dataSync()[0];
  assert.equal(loss(1), loss(1));
  assert.notEqual(loss(1), loss(2));
  assert.equal(evalStep(model, params, batch).lossSum.dataSync()[0], loss());
});

/** One update from one batch; the old state is disposed of. */
function update(
  model: TransformerModel,
  state: OptimizerState,
  batch: ReturnType<typeof batchOf>,
  updates: number,
) {
  const { lossSum, tokens, gradient } = gradStep(model, state.params, batch);
  const next = tf.tidy(() => {
    const mean = tf.div(gradient, tf.cast(tokens, "float32")) as tf.Tensor1D;
    const norm = tf.norm(mean).dataSync()[0];
    const scalars = tf.tensor1d(stepScalars({ clipNorm: 0.5 }, { norm, lr: 3e-3, updates }));
    return { ...applyStep(state, mean, scalars, { clipNorm: 0.5 }, model.definition) };
  });
  const loss = lossSum.dataSync()[0] / tokens.dataSync()[0];
  tf.dispose([lossSum, tokens, gradient, state.params, state.m, state.v]);
  return { state: next, loss };
}

const newState = (params: tf.Tensor1D): OptimizerState => ({
  params,
  m: tf.zerosLike(params),
  v: tf.zerosLike(params),
});

eachBackend("training leaves no tensor behind", () => {
  const { model, params } = smallModel();
  const batch = batchOf([5, 7], 20, 19);
  let state = update(model, newState(params), batch, 1).state;
  const held = tf.memory().numTensors;
  for (let updates = 2; updates < 10; updates++) {
    ({ state } = update(model, state, batch, updates));
    assert.equal(tf.memory().numTensors, held);
  }
});

onBackend(
  "tensorflow",
  "gradStep(), evalStep() and applyStep() compile, and give what they give eagerly",
  async () => {
    const { model, params } = smallModel({ attnDropout: 0.3, normType: "layernorm" });
    const batch = batchOf([5, 7], 20, 19);
    const mask = tf.tensor2d([0, 1].map((b) => Array.from({ length: 20 }, (_, i) => i < 20 - b)));
    const optimizer = { weightDecay: 0.1, clipNorm: 0.5 };
    const functions = {
      grad: (params: tf.Tensor, ids: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor) => ({
        ...gradStep(model, params as tf.Tensor1D, { ids, labels, mask }, seed as tf.Tensor1D),
      }),
      eval: (params: tf.Tensor, ids: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) => ({
        ...evalStep(model, params as tf.Tensor1D, { ids, labels, mask }),
      }),
      apply: (...[params, m, v, mean, scalars]: tf.Tensor[]) => {
        const state = { params, m, v } as OptimizerState;
        return {
          ...applyStep(state, mean as tf.Tensor1D, scalars as tf.Tensor1D, optimizer, model.definition),
        };
      },
    };
    const inputs = {
      grad: [params, batch.ids, batch.labels, mask, tf.tensor1d([3, 4], "int32")],
      eval: [params, batch.ids, batch.labels, mask],
      apply: [
        params,
        tf.mul(params, 0.1),
        tf.square(params),
        tf.cos(params),
        tf.tensor1d(stepScalars(optimizer, { norm: 9, lr: 1e-2, updates: 3 })),
      ],
    };
    for (const name of ["grad", "eval", "apply"] as const) {
      const eager = functions[name] as (...inputs: tf.Tensor[]) => Record<string, tf.Tensor>;
      const compiled = compile(eager);
      const actual = await compiled(...inputs[name]), expected = eager(...inputs[name]);
      assert.equal(compiled.path, "compiled", `${compiled.reason}`);
      assert.deepEqual(Object.keys(actual), Object.keys(expected));
      for (const [key, tensor] of Object.entries(expected)) {
        // XLA adds up in another order: the bound of the fixtures
        assertClose(
          actual[key].dataSync<"float32">(),
          tensor.dataSync<"float32">(),
          `${name}: ${key}`,
        );
      }
      compiled.dispose();
    }
  },
);

onBackend("tensorflow", "a batch of 4 × 256 bytes is learned by heart, below 0.1 nats", () => {
  const options = { numTokens: 256, dim: 64, depth: 2, queryKeyDim: 32, groupSize: 64, causal: true };
  const model = transformerModel(resolveTransformer({ ...options, laplaceAttnFn: true }));
  const tokens = randomIds(4, 257, 256);
  const part = (from: number) =>
    tf.tensor2d(tokens.map((row) => row.slice(from, from + 256)), [4, 256], "int32");
  const batch = { ids: part(0), labels: part(1) };
  let state = newState(tf.tensor1d(initialParameters(model.definition, 1)));
  let loss = Infinity;
  for (let updates = 1; updates <= 300 && loss >= 0.1; updates++) {
    ({ state, loss } = update(model, state, batch, updates));
  }
  assert(loss < 0.1, `${loss} nats after 300 updates`);
});

for (const [name, laplaceAttnFn, golden] of [["Laplace", true, 5.711], ["ReLU²", false, 5.684]] as const) {
  onBackend(
    "tensorflow",
    `train.py's model starts with FLASH-pytorch's loss on random bytes: ${name}`,
    () => {
      const model = new FLASHTransformer({ numTokens: 256, dim: 512, depth: 8, causal: true, laplaceAttnFn });
      const tokens = randomIds(2, 1025, 256);
      const mean = tf.tidy(() => {
        const logits = model.forward(tokens.map((row) => row.slice(0, -1)));
        const targets = tf.oneHot(tf.tensor2d(tokens.map((row) => row.slice(1)), [2, 1024], "int32"), 256);
        return tf.mean(tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), targets), -1))).dataSync()[0];
      });
      model.dispose();
      // the loss of a token has a deviation of 0.58: three standard errors of the mean over 2,048
      assert(Math.abs(mean - golden) < 0.04, `${mean}`);
    },
  );
}

onBackend("cpu", "these tests would notice the loss of the linear part: its gradient is not small", () => {
  const { model, params } = smallModel();
  const gradient = gradStep(model, params, batchOf([7], 20, 19)).gradient.dataSync<"float32">();
  const { entries } = model.definition.layout;
  const { offset } = entries.find(({ name }) => name === "layers.0.qk_offset_scale.gamma")!;
  const [quadQuery, linQuery, quadKey, linKey] = [0, 1, 2, 3].map((head) =>
    Math.hypot(...gradient.subarray(offset + 10 * head, offset + 10 * (head + 1)))
  );
  assert(linQuery > quadQuery / 100 && linKey > quadKey / 100);
});
