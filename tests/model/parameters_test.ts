import assert from "node:assert/strict";
import { FLASH, FLASHTransformer, GAU } from "../../src/model/mod.ts";
import { resolveTransformer } from "../../src/model/options.ts";
import { defineTransformer, initialParameters } from "../../src/model/parameters.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { onBackend } from "./backends.ts";

/** FLASH-pytorch's train.py. */
const TRAIN_PY = resolveTransformer({
  numTokens: 256,
  dim: 512,
  depth: 8,
  causal: true,
  laplaceAttnFn: true,
});

Deno.test("train.py's model has 13,400,585 trainable values and 95 entries in its state dict", () => {
  const { layout, frozen } = defineTransformer(TRAIN_PY);
  assert.equal(layout.size, 13_400_585);
  assert.equal(layout.entries.length + frozen.length, 95);
});

Deno.test("the parameters are in the order of PyTorch's parameters()", () => {
  const { layout, frozen } = defineTransformer(resolveTransformer({ numTokens: 7, dim: 4, depth: 1 }));
  assert.deepEqual(layout.entries.map(({ name, shape }) => `${name} ${shape}`), [
    "token_emb.weight 7,4",
    "abs_pos_emb.scale 1",
    "layers.0.rel_pos_bias.relative_attention_bias.weight 32,1",
    "layers.0.norm.g 1",
    "layers.0.to_hidden.0.weight 16,4",
    "layers.0.to_hidden.0.bias 16",
    "layers.0.to_qk.0.weight 128,4",
    "layers.0.to_qk.0.bias 128",
    "layers.0.qk_offset_scale.gamma 4,128",
    "layers.0.qk_offset_scale.beta 4,128",
    "layers.0.to_out.weight 4,8",
    "layers.0.to_out.bias 4",
    "to_logits.0.weight 4",
    "to_logits.0.bias 4",
    "to_logits.1.weight 7,4",
    "to_logits.1.bias 7",
  ]);
  assert.deepEqual(frozen.map(({ name }) => name), [
    "abs_pos_emb.inv_freq",
    "layers.0.rotary_pos_emb.freqs",
  ]);
});

onBackend("cpu", "the hidden width is cut off, not rounded", () => {
  const hidden = (layer: GAU | FLASH) => layer.parameters["to_hidden.0.bias"].size / 2;
  assert.equal(hidden(new GAU({ dim: 24, expansionFactor: 1.3 })), 31); // 31.2
  assert.equal(hidden(new FLASH({ dim: 10, expansionFactor: 1.59 })), 15); // 15.9
});

onBackend("cpu", "GAU without relPosBias has none, and is built without one", () => {
  const layer = new GAU({ dim: 8, relPosBias: false });
  assert(!Object.keys(layer.parameters).some((name) => name.startsWith("rel_pos_bias")));
  assert.deepEqual(layer.forward(tf.zeros([1, 3, 8])).shape, [1, 3, 8]);
});

Deno.test("the parameters start from PyTorch's distributions", () => {
  const definition = defineTransformer(
    resolveTransformer({ numTokens: 300, dim: 64, depth: 1, normType: "layernorm", queryKeyDim: 100 }),
  );
  const flat = initialParameters(definition, 1);
  for (const { name, offset, size } of definition.layout.entries) {
    const values = flat.subarray(offset, offset + size);
    const mean = values.reduce((sum, value) => sum + value, 0) / size;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size);
    const expected = expectedDeviation(name);
    if (/norm\.weight|to_logits\.0\.weight|scale$/.test(name)) {
      assert(values.every((value) => value === 1), name);
    } else if (expected === 0) assert(values.every((value) => value === 0), name);
    else {
      // five standard errors of the mean; of the deviation, which has a smaller one for a uniform distribution, too
      assert(Math.abs(mean) < 5 * expected / Math.sqrt(size), `${name}: mean ${mean}`);
      assert(Math.abs(deviation / expected - 1) < 5 / Math.sqrt(2 * size), `${name}: deviation ${deviation}`);
    }
    const inputs = /to_out/.test(name) ? 128 : 64;
    if (/to_hidden|to_qk|to_out|to_logits\.1/.test(name)) {
      assert(Math.max(...values.map(Math.abs)) <= Math.fround(1 / Math.sqrt(inputs)), name);
    }
  }
});

/** Linear: uniform ± 1/√in, whose deviation is 1/√(3 in). Embeddings: 1. Gamma: 0.02. */
function expectedDeviation(name: string): number {
  if (/norm\.bias|to_logits\.0\.bias|beta$/.test(name)) return 0;
  if (/token_emb|rel_pos_bias/.test(name)) return 1;
  if (/gamma$/.test(name)) return 0.02;
  return 1 / Math.sqrt(3 * (/to_out/.test(name) ? 128 : 64));
}

onBackend(
  "cpu",
  "equal seeds give equal models, other seeds others, and layers differ among themselves",
  () => {
    const options = { numTokens: 7, dim: 8, depth: 2 };
    const values = (seed?: number) =>
      Object.values(new FLASHTransformer(options, { seed }).parameters).map((tensor) => tensor.dataSync());
    assert.deepEqual(values(1), values(1));
    assert.notDeepEqual(values(1), values(2));
    const { parameters } = new FLASHTransformer(options, { seed: 1 });
    assert.notDeepEqual(
      parameters["layers.0.to_out.weight"].dataSync(),
      parameters["layers.1.to_out.weight"].dataSync(),
    );
  },
);
