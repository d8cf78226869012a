import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { loadConfig, resolveConfig } from "../../../src/config/config.ts";
import { resolveFLASH, resolveTransformer } from "../../../src/model/options.ts";
import {
  applyStep,
  clipFactor,
  type OptimizerOptions,
  stepScalars,
} from "../../../src/model/optimizer/optimizer.ts";
import { defineFLASH, defineTransformer } from "../../../src/model/parameters.ts";
import { learningRate } from "../../../src/model/optimizer/schedule.ts";
import { normalArray } from "../../../src/prng.ts";
import { tf } from "../../../src/tensorflow/mod.ts";
import { eachBackend } from "../backends.ts";
import { assertClose } from "../fixtures.ts";

const enwik8 = fileURLToPath(new URL("../../../configs/enwik8.yaml", import.meta.url));

const definition = defineFLASH(resolveFLASH({ dim: 4, queryKeyDim: 4, rotary: true }));
const { size } = definition.layout;

Deno.test("clipFactor() is what PyTorch's clip_grad_norm_ multiplies by", () => {
  assert.equal(clipFactor(5, 0.5), 0.5 / 5.000001);
  assert.equal(clipFactor(0.4, 0.5), 1);
  assert.equal(clipFactor(0, 0.5), 1);
  assert.equal(clipFactor(1e9), 1);
});

const isLinearWeight = (name: string) => /^(to_hidden\.0|to_qk\.0|to_out)\.weight$/.test(name);

/** AdamW in float64, value by value, as its authors write it; which values decay is told by their names. */
function adamW(
  params: Float32Array,
  gradients: Float32Array[],
  norms: number[],
  lr: number,
  options: Required<OptimizerOptions>,
): number[] {
  const [beta1, beta2] = options.betas;
  const decays = definition.layout.entries.flatMap(({ name, size }) =>
    new Array<boolean>(size).fill(isLinearWeight(name))
  );
  return [...params].map((start, i) => {
    let value = start, m = 0, v = 0;
    gradients.forEach((gradient, step) => {
      const g = gradient[i] * Math.min(1, options.clipNorm / (norms[step] + 1e-6));
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      if (decays[i]) value -= lr * options.weightDecay * value;
      const mean = m / (1 - beta1 ** (step + 1)), square = v / (1 - beta2 ** (step + 1));
      value -= lr * mean / (Math.sqrt(square) + options.epsilon);
    });
    return value;
  });
}

for (const weightDecay of [0, 0.3]) {
  eachBackend(`applyStep() is AdamW, also for gradients as small as epsilon: decay ${weightDecay}`, () => {
    const options = { betas: [0.8, 0.95], epsilon: 1e-6, weightDecay, clipNorm: 2 } as const;
    const params = normalArray(size, 1, "params", 1);
    // the deviations go from far below epsilon to far above clipping
    const deviations = [1e-6, 1, 30], lr = 0.01;
    const gradients = deviations.map((deviation, step) => normalArray(size, step, "gradient", deviation));
    const norms = gradients.map((gradient) => Math.hypot(...gradient));
    const zeros = () => tf.zeros([size]) as tf.Tensor1D;
    let state = { params: tf.tensor1d(params), m: zeros(), v: zeros() };
    gradients.forEach((gradient, step) => {
      const scalars = tf.tensor1d(stepScalars(options, { norm: norms[step], lr, updates: step + 1 }));
      state = applyStep(state, tf.tensor1d(gradient), scalars, options, definition);
    });
    assertClose(
      state.params.dataSync<"float32">(),
      adamW(params, gradients, norms, lr, options),
      "params",
    );
  });
}

eachBackend("applyStep() decays the weights of linear maps and nothing else", () => {
  const zeros = () => tf.zeros([size]) as tf.Tensor1D;
  const options = { weightDecay: 0.5 };
  const state = { params: tf.ones([size]) as tf.Tensor1D, m: zeros(), v: zeros() };
  const scalars = tf.tensor1d(stepScalars(options, { norm: 0, lr: 0.1, updates: 1 }));
  const values = applyStep(state, zeros(), scalars, options, definition).params.dataSync();
  for (const { name, offset, size } of definition.layout.entries) {
    const wanted = Math.fround(isLinearWeight(name) ? 0.95 : 1);
    assert(values.subarray(offset, offset + size).every((value) => value === wanted), name);
  }
});

Deno.test("in a transformer the weights of linear maps decay: not embeddings, positions, scales, norms, biases", () => {
  const { specs } = defineTransformer(resolveTransformer({ numTokens: 9, dim: 8, depth: 1, causal: true }));
  assert.deepEqual(specs.filter(({ decays }) => decays).map(({ name }) => name).sort(), [
    "layers.0.to_hidden.0.weight",
    "layers.0.to_out.weight",
    "layers.0.to_qk.0.weight",
    "to_logits.1.weight",
  ]);
});

Deno.test("configs/enwik8.yaml makes the steps of train.py, which adds up the gradients of four batches", async () => {
  const { optimizer, train } = resolveConfig(await loadConfig(enwik8));
  const batches = train.batch / train.microBatch;
  assert.equal(batches, 4);
  // gradients from far below Adam's epsilon to far above clipping
  const means = [1e-8, 1e-4, 1].map((deviation, step) => normalArray(size, step, "mean", deviation));
  const sums = means.map((mean) => mean.map((value) => batches * value));
  const norms = (gradients: Float32Array[]) => gradients.map((gradient) => Math.hypot(...gradient));
  const adam = (options: { epsilon: number; clipNorm: number }) => ({
    betas: [0.9, 0.999] as const,
    weightDecay: 0,
    ...options,
  });
  const start = new Float32Array(size);
  const ours = adamW(start, means, norms(means), 2e-4, adam(optimizer));
  const theirs = adamW(start, sums, norms(sums), 2e-4, adam({ epsilon: 1e-8, clipNorm: 0.5 }));
  assert.equal(optimizer.learningRate, 2e-4);
  assert.ok(norms(sums)[2] > 0.5);
  // the 1e-6 that clipping adds to the norm has another weight: some 1e-6 of the step
  theirs.forEach((value, i) =>
    assert.ok(Math.abs(ours[i] - value) <= 1e-5 * Math.abs(value), `${ours[i]} ${value}`)
  );
});

Deno.test("learningRate() warms up, holds or falls, and stays at the floor where the schedule ends", () => {
  const rates = (kind: "constant" | "linear" | "cosine", floor = 0) =>
    [1, 2, 4, 6, 8, 10, 12, 13].map((step) =>
      learningRate({ learningRate: 1, schedule: { kind, warmup: 4, steps: 12, floor } }, step)
    );
  const close = (actual: number[], expected: number[]) =>
    actual.forEach((value, i) => assert(Math.abs(value - expected[i]) < 1e-12, `${actual}`));
  close(rates("constant"), [0.25, 0.5, 1, 1, 1, 1, 1, 1]);
  close(rates("linear"), [0.25, 0.5, 1, 0.75, 0.5, 0.25, 0, 0]);
  const quarter = 0.8535533905932737; // (1 + √½) / 2
  close(rates("cosine"), [0.25, 0.5, 1, quarter, 0.5, 1 - quarter, 0, 0]);
  close(rates("linear", 0.2), [0.25, 0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2]);
  close(rates("cosine", 0.5), [0.25, 0.5, 1, (1 + quarter) / 2, 0.75, 1 - quarter / 2, 0.5, 0.5]);
  assert.equal(
    learningRate({ learningRate: 2, schedule: { kind: "constant", warmup: 0, floor: 0.1 } }, 1),
    2,
  );
});

Deno.test("learningRate() refuses a schedule that falls without a length", () => {
  const schedule = { kind: "cosine", warmup: 10, floor: 0 } as const;
  assert.throws(
    () => learningRate({ learningRate: 1, schedule }, 20),
    /RangeError: A cosine schedule needs a length beyond its warm-up of 10 steps/,
  );
});
