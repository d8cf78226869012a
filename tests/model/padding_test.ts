import assert from "node:assert/strict";
import { FLASH, type FLASHTransformer, type FLASHTransformerOptions, GAU } from "../../src/model/mod.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "./backends.ts";
import { assertClose, relativeError } from "./fixtures.ts";
import { jitter, maskOf, randomIds, randomInput, smallTransformer } from "./models.ts";

const LENGTH = 19;

/** Logits of the real tokens of a sequence that is padded to n, flat. */
function padded(model: FLASHTransformer, ids: number[], n: number, filler = 0): Float32Array {
  return tf.tidy(() => {
    const filled = [...ids, ...new Array<number>(n - ids.length).fill(filler)];
    const logits = model.forward([filled], { mask: maskOf(n, ids.length) });
    return tf.slice(logits, [0, 0, 0], [1, ids.length, -1]).dataSync<"float32">();
  });
}

const UNCHANGED: [what: string, options: Partial<FLASHTransformerOptions>][] = [
  ["causal", { causal: true }],
  ["bidirectional, divided by the masked length", { causal: false, divideByMaskedLength: true }],
  ["bidirectional, a context per group, divided by the masked length", {
    causal: false,
    reduceGroupNonCausalAttn: false,
    divideByMaskedLength: true,
  }],
];

for (const [what, options] of UNCHANGED) {
  eachBackend(`padding changes nothing for the real tokens: ${what}`, () => {
    const model = smallTransformer(options);
    const [ids] = randomIds(1, LENGTH, 19);
    const alone = tf.tidy(() => model.forward([ids]).dataSync());
    for (const n of [20, 24, 25, 41]) {
      // other shapes are added up in another order: the bound of the fixtures
      assertClose(padded(model, ids, n), alone as Float32Array, `padded to ${n}`);
    }
  });
}

onBackend("cpu", "bidirectional padding counts in the divisor unless the option says otherwise", () => {
  const model = smallTransformer({ causal: false });
  const [ids] = randomIds(1, LENGTH, 19);
  const alone = tf.tidy(() => model.forward([ids]).dataSync());
  assert(relativeError(padded(model, ids, 41), alone as Float32Array) > 1e-3);
});

for (const causal of [true, false]) {
  eachBackend(`what stands in padding changes no bit of the real tokens: causal ${causal}`, () => {
    const model = smallTransformer({ causal });
    const [ids] = randomIds(1, LENGTH, 19);
    assert.deepEqual(padded(model, ids, 30, 3), padded(model, ids, 30, 11));
  });
}

eachBackend("a masked token in the middle is not seen, without token shift", () => {
  const model = smallTransformer({ shiftTokens: false });
  const [ids] = randomIds(1, LENGTH, 19);
  const mask = [ids.map((_, i) => i !== 5)];
  const others = (ids: number[]) =>
    tf.tidy(() =>
      model.forward([ids], { mask, maskAnywhere: true }).arraySync()[0].filter((_, i) => i !== 5)
    );
  assert.deepEqual(others(ids), others(ids.with(5, (ids[5] + 1) % 19)));
});

eachBackend("GAU divided by the masked length doesn't notice padding", () => {
  const layer = jitter(new GAU({ dim: 12, queryKeyDim: 10, divideByMaskedLength: true }));
  const x = randomInput(1, 30, 12);
  const real = tf.slice(x, [0, 0, 0], [1, 17, 12]);
  const output = tf.slice(layer.forward(x, { mask: maskOf(30, 17) }), [0, 0, 0], [1, 17, 12]);
  assertClose(
    output.dataSync<"float32">(),
    layer.forward(real).dataSync<"float32">(),
    "17 of 30 tokens",
  );
});

eachBackend("padding before the tokens of a GAU counts as little as padding after them", () => {
  for (const causal of [true, false]) {
    const layer = jitter(new GAU({ dim: 12, queryKeyDim: 10, causal, divideByMaskedLength: true }));
    const x = randomInput(1, 30, 12);
    const real = tf.slice(x, [0, 13, 0], [1, 17, 12]);
    const mask = [Array.from({ length: 30 }, (_, i) => i >= 13)];
    const output = tf.slice(layer.forward(x, { mask }), [0, 13, 0], [1, 17, 12]);
    assertClose(output.dataSync<"float32">(), layer.forward(real).dataSync<"float32">(), `causal ${causal}`);
  }
});

/** Gradients of the sum of squares of a layer's output for its input and all parameters. */
function gradients(layer: GAU | FLASH, x: tf.Tensor, mask?: boolean[][]): tf.Tensor[] {
  const { grads } = tf.valueAndGrads((x: tf.Tensor) => tf.sum(tf.square(layer.forward(x, { mask }))))(
    [x, ...Object.values(layer.parameters)],
  );
  return grads;
}

for (const normType of ["layernorm", "scalenorm"] as const) {
  const options = { dim: 12, queryKeyDim: 10, normType };
  const layers: [string, () => GAU | FLASH][] = [
    ["GAU", () => new GAU(options)],
    ["causal FLASH", () => new FLASH({ ...options, groupSize: 8, causal: true, rotary: true })],
    ["bidirectional FLASH", () => new FLASH({ ...options, groupSize: 8, divideByMaskedLength: true })],
  ];
  for (const [what, make] of layers) {
    eachBackend(`gradients are finite at rows of zeros and where all is masked: ${what}, ${normType}`, () => {
      const layer = jitter(make());
      const x = tf.concat([tf.zeros([2, 9, 12]), randomInput(2, 10, 12)], 1);
      for (const gradient of gradients(layer, x, maskOf(19, 19, 0))) {
        assert(gradient.dataSync().every(Number.isFinite));
      }
    });
  }
}
