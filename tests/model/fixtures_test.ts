import assert from "node:assert/strict";
import { tf } from "../../src/tensorflow/mod.ts";
import { FLASH, FLASHTransformer, GAU } from "../../src/model/mod.ts";
import { applyStep, stepScalars } from "../../src/model/optimizer/optimizer.ts";
import { resolveTransformer } from "../../src/model/options.ts";
import { fromStateDict } from "../../src/model/state_dict.ts";
import { gradStep, transformerModel } from "../../src/model/training.ts";
import { assertClose, type Fixture, loadFixtures, relativeError, tensorsOf } from "./fixtures.ts";
import { eachBackend } from "./backends.ts";

/**
 * Gradients that are small differences of large terms, with the bound for them. Here the terms of a bucket add up to 4.8e-5
 * in magnitude and to 2.3e-8 in sum: computed in float64, PyTorch's own value is off by 2.5e-4 of the largest.
 */
const CANCELLING: Record<string, number> = {
  "transformer_wide_keys: layers.1.rel_pos_bias.relative_attention_bias.weight": 2e-3,
};

function assertGradients(fixture: Fixture, gradients: Record<string, tf.Tensor>): void {
  const expected = fixture.group("grad.");
  assert.deepEqual(Object.keys(gradients).toSorted(), Object.keys(expected).toSorted());
  for (const [name, { values }] of Object.entries(expected)) {
    const what = `${fixture.name}: ${name}`, actual = gradients[name].dataSync();
    if (what in CANCELLING) assert(relativeError(actual, values as Float32Array) < CANCELLING[what], what);
    else assertClose(actual, values as Float32Array, what);
  }
}

function layerOf({ kind, options }: Fixture): GAU | FLASH {
  return kind === "GAU"
    ? new GAU(options as unknown as ConstructorParameters<typeof GAU>[0])
    : new FLASH(options as unknown as ConstructorParameters<typeof FLASH>[0]);
}

for (const fixture of loadFixtures("GAU", "FLASH")) {
  eachBackend(`${fixture.kind} gives FLASH-pytorch's output and gradients: ${fixture.name}`, () => {
    const layer = layerOf(fixture);
    layer.loadStateDict(tensorsOf(fixture.group("param.")));
    const x = fixture.tensor("input.x")!;
    const inputs = { mask: fixture.tensor("input.mask"), relPosBias: fixture.tensor("input.rel_pos_bias") };

    assertClose(layer.forward(x, inputs).dataSync(), fixture.values("output"), "output");

    const cotangent = fixture.tensor("input.cotangent")!;
    const names = Object.keys(layer.parameters);
    const { grads: [forInput, ...forParameters] } = tf.valueAndGrads((x: tf.Tensor) =>
      tf.sum(tf.mul(layer.forward(x, inputs), cotangent))
    )([x, ...Object.values(layer.parameters)]);
    assertClose(forInput.dataSync(), fixture.values("grad_input.x"), "gradient of the input");
    assertGradients(fixture, Object.fromEntries(names.map((name, i) => [name, forParameters[i]])));
  });
}

for (const fixture of loadFixtures("FLASHTransformer")) {
  eachBackend(
    `FLASHTransformer gives FLASH-pytorch's logits, loss and gradients: ${fixture.name}`,
    async () => {
      const model = new FLASHTransformer(
        fixture.options as unknown as ConstructorParameters<typeof FLASHTransformer>[0],
      );
      model.loadStateDict(tensorsOf(fixture.group("param.")));
      const ids = fixture.tensor("input.ids")!, labels = fixture.tensor("input.labels")!;
      const mask = fixture.tensor("input.mask");

      assertClose(model.forward(ids, { mask }).dataSync(), fixture.values("output"), "logits");

      const { loss, tokens, gradients } = await model.lossAndGradients(ids, labels, { mask });
      assert.equal(tokens, labels.size);
      assertClose([loss], fixture.values("loss"), "loss");
      assertGradients(fixture, gradients);
    },
  );
}

for (const fixture of loadFixtures("training")) {
  eachBackend(`gradStep() and applyStep() follow PyTorch's training: ${fixture.name}`, async () => {
    const { lr, betas, eps, clip_norm: clipNorm } = JSON.parse(fixture.metadata.optimizer);
    const resolved = resolveTransformer(fixture.options as never);
    const start = fromStateDict(transformerModel(resolved).definition, fixture.group("start."));
    const model = transformerModel(resolved, start.frequencies);
    const { layout } = model.definition;

    let state = {
      params: tf.tensor1d(start.params),
      m: tf.zeros([layout.size]) as tf.Tensor1D,
      v: tf.zeros([layout.size]) as tf.Tensor1D,
    };
    const [first, second] = tf.unstack(tf.tidy(() => tf.transpose(fixture.tensor("batches")!, [1, 0, 2, 3])));
    const steps = first.shape[0];
    const microBatches = [tf.unstack(first), tf.unstack(second)];
    for (let step = 0; step < steps; step++) {
      let lossSum = 0, tokens = 0;
      const gradient = new Float32Array(layout.size);
      for (const tokensOfStep of microBatches) {
        const [b, n] = tokensOfStep[step].shape as [number, number];
        const ids = tf.slice(tokensOfStep[step], [0, 0], [b, n - 1]);
        const labels = tf.slice(tokensOfStep[step], [0, 1], [b, n - 1]);
        const sums = gradStep(model, state.params, { ids, labels });
        lossSum += (await sums.lossSum.data())[0];
        tokens += (await sums.tokens.data())[0];
        (await sums.gradient.data()).forEach((value, i) => gradient[i] += value);
        tf.dispose([ids, labels, sums.lossSum, sums.tokens, sums.gradient]);
      }
      const mean = gradient.map((sum) => sum / tokens);
      const norm = Math.hypot(...mean);
      // the README's bound for a whole training curve
      assert(Math.abs(lossSum / tokens - fixture.values("losses")[step]) < 1e-4, `loss of step ${step}`);
      // a norm follows the parameters, which drift apart as slowly as the losses
      assert(Math.abs(norm / fixture.values("grad_norms")[step] - 1) < 1e-3, `norm of step ${step}`);
      const options = { betas, epsilon: eps, clipNorm };
      const scalars = tf.tensor1d(stepScalars(options, { norm, lr, updates: step + 1 }));
      const next = applyStep(state, tf.tensor1d(mean), scalars, options, model.definition);
      tf.dispose([state.params, state.m, state.v, scalars]);
      state = next;
    }

    const final = fromStateDict(model.definition, fixture.group("final."));
    // Adam moves each value by about lr a step, also where the gradient is rounding noise: a hundredth of one such step
    const difference = (await state.params.data()).map((value, i) => Math.abs(value - final.params[i]));
    assert(Math.max(...difference) < lr / 100, `parameters are off by ${Math.max(...difference)}`);
  });
}
