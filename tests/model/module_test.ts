import assert from "node:assert/strict";
import { FLASH, FLASHTransformer, GAU } from "../../src/model/mod.ts";
import { gradStep, transformerModel } from "../../src/model/training.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "./backends.ts";
import { assertClose, loadFixtures, tensorsOf } from "./fixtures.ts";
import { jitter, maskOf, randomIds, randomInput, smallTransformer } from "./models.ts";

onBackend("cpu", "a state dict taken from one model makes another one equal", () => {
  const model = smallTransformer();
  const copy = new FLASHTransformer(model.options, { seed: 9 });
  copy.loadStateDict(model.stateDict());
  const ids = randomIds(1, 20, 19);
  assert.deepEqual(copy.forward(ids).dataSync(), model.forward(ids).dataSync());
});

onBackend(
  "cpu",
  "stateDict() has every entry of FLASH-pytorch's, with its shape, and gives loaded values back",
  () => {
    const [fixture] = loadFixtures("FLASHTransformer");
    const model = new FLASHTransformer(fixture.options as unknown as FLASHTransformer["options"]);
    model.loadStateDict(tensorsOf(fixture.group("param.")));
    const expected = fixture.group("param."), state = model.stateDict();
    assert.deepEqual(Object.keys(state).toSorted(), Object.keys(expected).toSorted());
    for (const [name, { shape, values }] of Object.entries(expected)) {
      assert.deepEqual(state[name].shape, shape);
      assert.deepEqual(state[name].dataSync(), values, name);
    }
  },
);

onBackend("cpu", "loadStateDict() names all problems at once and changes nothing", () => {
  const model = smallTransformer();
  const before = Object.values(model.parameters).map((tensor) => tensor.dataSync());
  const { "token_emb.weight": _, ...state } = model.stateDict();
  const frequencies = "layers.1.rotary_pos_emb.freqs";
  const damaged = {
    ...state,
    "abs_pos_emb.scale": tf.ones([2]),
    "to_logits.1.bias": tf.zeros([19], "int32"),
    [frequencies]: tf.add(state[frequencies], 1),
    "surplus": tf.zeros([1]),
  };
  assert.throws(() => model.loadStateDict(damaged), (error: unknown) => {
    assert(error instanceof TypeError);
    assert.deepEqual(error.message.split("\n"), [
      "The state dict does not fit the model:",
      "token_emb.weight [19, 12] is missing",
      "abs_pos_emb.scale is [2], the model's is [1]",
      "to_logits.1.bias holds I32, not floating point numbers",
      "layers.1.rotary_pos_emb.freqs differs from the same frequencies of another layer",
      "surplus is unexpected",
    ]);
    return true;
  });
  assert.deepEqual(Object.values(model.parameters).map((tensor) => tensor.dataSync()), before);
});

onBackend("cpu", "a model survives the tidy() it was made in, and says so when it was disposed of", () => {
  let layer!: GAU;
  tf.tidy(() => void (layer = new GAU({ dim: 8 })));
  const x = randomInput(1, 3, 8);
  assert.deepEqual(layer.forward(x).shape, [1, 3, 8]);
  layer.dispose();
  assert.throws(() => layer.forward(x), /This model was disposed of/);
});

eachBackend("two models live side by side, and no call leaves a tensor behind", async () => {
  const before = tf.memory().numTensors;
  const models = [smallTransformer(), smallTransformer({ normType: "layernorm", attnDropout: 0.1 })];
  const layers = [new GAU({ dim: 12 }), new FLASH({ dim: 12, rotary: true, shiftTokens: true })];
  const ids = randomIds(2, 20, 19), labels = randomIds(2, 20, 19, 2), mask = maskOf(20, 20, 7);
  const x = randomInput(2, 20, 12);
  const held = tf.memory().numTensors;
  for (let i = 0; i < 3; i++) {
    for (const model of models) {
      model.forward(ids, { mask, seed: i }).dispose();
      const { gradients } = await model.lossAndGradients(ids, labels, { mask, seed: i });
      tf.dispose(gradients);
      await assert.rejects(model.lossAndGradients(ids, ids.map((row) => row.map(() => -1))), RangeError);
      assert.throws(() => model.forward([[1, 99]]), RangeError);
      const state = model.stateDict();
      model.loadStateDict(state);
      tf.dispose(state);
    }
    for (const layer of layers) layer.forward(x, { mask }).dispose();
    assert.equal(tf.memory().numTensors, held);
  }
  for (const model of [...models, ...layers]) model.dispose();
  x.dispose();
  assert.equal(tf.memory().numTensors, before);
});

eachBackend(
  "lossAndGradients() is the mean of gradStep()'s sums, whatever form the ids come in",
  async () => {
    const model = smallTransformer();
    const ids = randomIds(2, 20, 19);
    const labels = randomIds(2, 20, 19, 2).map((row, b) =>
      row.map((label, i) => i < 5 * (b + 1) ? label : -1)
    );
    const fromArrays = await model.lossAndGradients(ids, labels);
    assert.equal(fromArrays.tokens, 15);

    const tensors = {
      ids: tf.tensor2d(ids, [2, 20], "int32"),
      labels: tf.tensor2d(labels, [2, 20], "int32"),
    };
    const fromTensors = await model.lossAndGradients(tensors.ids, tensors.labels);
    assert.equal(fromTensors.loss, fromArrays.loss);

    const flat = tf.concat(Object.values(model.parameters).map((one) => one.flatten())) as tf.Tensor1D;
    const sums = gradStep(transformerModel(model.options), flat, tensors);
    assertClose([fromArrays.loss], [sums.lossSum.dataSync()[0] / 15], "loss");
    const gradient = tf.concat(Object.values(fromArrays.gradients).map((one) => one.flatten()));
    assertClose(
      gradient.dataSync<"float32">(),
      tf.div(sums.gradient, 15).dataSync<"float32">(),
      "gradient",
    );
  },
);

eachBackend("forward() lets gradients through to what its input was made of", () => {
  const layer = jitter(new FLASH({ dim: 12, groupSize: 8 }));
  const gradient = tf.grad((x: tf.Tensor) => tf.sum(layer.forward(tf.mul(x, 2))))(randomInput(1, 10, 12));
  assert(tf.max(tf.abs(gradient)).dataSync()[0] > 0);
});
