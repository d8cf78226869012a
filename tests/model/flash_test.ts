import assert from "node:assert/strict";
import { FLASH, type FLASHOptions } from "../../src/model/mod.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "./backends.ts";
import { assertClose } from "./fixtures.ts";
import { jitter, maskOf, randomInput } from "./models.ts";
import { flashByDefinition, type Values } from "./oracle.ts";

const SMALL: FLASHOptions = { dim: 12, queryKeyDim: 10, groupSize: 8, expansionFactor: 1.3, rotary: true };

const CASES: [what: string, options: Partial<FLASHOptions>, n: number, lengths?: number[]][] = [
  ["causal, four groups, the last one filled in part", { causal: true }, 27],
  ["causal, whole groups, Laplace, ScaleNorm and token shift", {
    causal: true,
    laplaceAttnFn: true,
    normType: "scalenorm",
    shiftTokens: true,
  }, 24],
  ["causal with masks, within a group and at its end", { causal: true, shiftTokens: true }, 27, [9, 16]],
  ["causal with keys wider than the rotary embedding", { causal: true, queryKeyDim: 36 }, 20],
  ["causal with groups of one token", { causal: true, groupSize: 1 }, 5],
  ["causal, a group longer than the furthest bucket", { causal: true, groupSize: 140 }, 290],
  ["bidirectional, four groups", {}, 27],
  ["bidirectional with masks", { laplaceAttnFn: true }, 27, [27, 3]],
  ["bidirectional, divided by the masked length", { divideByMaskedLength: true }, 27, [20, 3]],
  ["bidirectional, a context per group", { reduceGroupNonCausalAttn: false }, 27, [27, 11]],
  [
    "bidirectional, a context per group, divided by the masked length",
    {
      reduceGroupNonCausalAttn: false,
      divideByMaskedLength: true,
    },
    27,
    [26, 11],
  ],
  ["bidirectional, a group longer than the furthest bucket", { groupSize: 140 }, 150],
];

for (const [what, options, n, lengths] of CASES) {
  eachBackend(`FLASH is what a double loop in float64 gives: ${what}`, () => {
    const layer = jitter(new FLASH({ ...SMALL, ...options }));
    const b = lengths?.length ?? 1;
    const x = randomInput(b, n, layer.options.dim);
    const mask = lengths && maskOf(n, ...lengths);
    const values: Values = Object.fromEntries(
      Object.entries(layer.parameters).map(([name, tensor]) => [name, tensor.dataSync()]),
    );
    const expected = x.arraySync().map((sequence, row) =>
      flashByDefinition(layer.options, values, sequence, mask?.[row])
    );
    // float32 against float64: the bound of the fixtures
    assertClose(layer.forward(x, { mask }).dataSync(), expected.flat(2), what);
  });
}

onBackend(
  "cpu",
  "FLASH hands earlier groups to later ones, enough for these tests to notice the loss",
  () => {
    const layer = jitter(new FLASH({ ...SMALL, causal: true }));
    const [x, other] = [randomInput(1, 24, 12, 1), randomInput(1, 24, 12, 2)];
    const changed = tf.concat([tf.slice(other, [0, 0, 0], [1, 8, 12]), tf.slice(x, [0, 8, 0])], 1);
    const lastGroup = (y: tf.Tensor) => tf.slice(y, [0, 16, 0]);
    const difference = tf.sub(lastGroup(layer.forward(x)), lastGroup(layer.forward(changed)));
    assert(tf.max(tf.abs(difference)).dataSync()[0] > 1e-2);
  },
);

onBackend("cpu", "FLASH takes as many operations for many groups as for few", async () => {
  const layer = new FLASH({ ...SMALL, causal: true });
  const operations = async (n: number) =>
    (await tf.profile(() => layer.forward(tf.zeros([1, n, 12])))).kernels.length;
  assert.equal(await operations(240), await operations(24));
});
