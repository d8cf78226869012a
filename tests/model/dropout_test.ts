import assert from "node:assert/strict";
import { FLASH, FLASHTransformer, GAU } from "../../src/model/mod.ts";
import { dropout, dropoutSeed, seedAt } from "../../src/model/dropout.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend } from "./backends.ts";
import { jitter, randomIds, randomInput } from "./models.ts";

const seedTensor = (seed: number) => tf.tensor1d(dropoutSeed(seed), "int32");
const dropped = (seed: tf.Tensor1D | undefined, rate = 0.3) =>
  dropout(tf.ones([200, 250]), rate, seed).dataSync<"float32">();

eachBackend(
  "dropout() drops the same places for the same seed, other ones for other seeds and places",
  () => {
    const first = dropped(seedTensor(1));
    assert.deepEqual(dropped(seedTensor(1)), first);
    const others = [seedTensor(2), seedAt(seedTensor(1), 1), seedAt(seedTensor(1), 2)].map((seed) =>
      dropped(seed)
    );
    for (const other of others) {
      const both = other.filter((value, i) => value === 0 && first[i] === 0).length;
      // independent masks share 9 % of the places; 50,000 places give 0.0013
      assert(Math.abs(both / 50_000 - 0.09) < 0.006);
    }
  },
);

eachBackend("dropout() drops its share and keeps the mean", () => {
  const values = dropped(seedTensor(5));
  const zeros = values.filter((value) => value === 0).length / values.length;
  assert(Math.abs(zeros - 0.3) < 0.01); // five standard errors: 5 √(0.21 / 50,000)
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  assert(Math.abs(mean - 1) < 0.015);
});

eachBackend("dropout() changes nothing without a seed or a rate", () => {
  assert(dropped(undefined).every((value) => value === 1));
  assert(dropped(seedTensor(1), 0).every((value) => value === 1));
});

eachBackend("layers drop only when forward() gets a seed, and the seed decides what", () => {
  const options = { dim: 12, queryKeyDim: 10, laplaceAttnFn: true };
  const x = randomInput(1, 20, 12);
  const pairs = [
    [new GAU({ ...options, dropout: 0.5 }), new GAU(options)],
    [new FLASH({ ...options, groupSize: 8, dropout: 0.5 }), new FLASH({ ...options, groupSize: 8 })],
  ] as const;
  for (const [layer, plain] of pairs) {
    jitter(layer), jitter(plain);
    const forward = (seed?: number) => layer.forward(x, { seed }).dataSync();
    assert.deepEqual(forward(), plain.forward(x).dataSync());
    assert.notDeepEqual(forward(1), forward());
    assert.deepEqual(forward(1), forward(1));
    assert.notDeepEqual(forward(1), forward(2));
  }
});

eachBackend("GAU drops attention weights and outputs", () => {
  const options = { dim: 12, queryKeyDim: 10, laplaceAttnFn: true, addResidual: false };
  const x = randomInput(1, 40, 12);
  const [dropping, plain] = [0.5, 0].map((dropout) =>
    jitter(new GAU({ ...options, dropout })).forward(x, { seed: 1 }).dataSync<"float32">()
  );
  const zeros = dropping.filter((value) => value === 0).length;
  assert(Math.abs(zeros / 480 - 0.5) < 0.12); // five standard errors: 5 · 0.5 / √480
  // had no weight been dropped, all others would be twice what they are without dropout
  assert(dropping.filter((value, i) => value !== 0 && Math.abs(value - 2 * plain[i]) > 1e-4).length > 200);
});

eachBackend("FLASHTransformer drops other places in another layer", () => {
  const model = jitter(
    new FLASHTransformer({ numTokens: 7, dim: 8, depth: 2, groupSize: 4, attnDropout: 0.5 }),
  );
  const ids = randomIds(1, 12, 7), state = model.stateDict();
  /** Logits when only one layer does something: with the parameters of layer 0, wherever it stands. */
  const withOnly = (working: number, seed?: number) => {
    const idle = 1 - working;
    const entries = Object.entries(state).map(([name, tensor]): [string, tf.Tensor] => {
      if (name.startsWith(`layers.${idle}.to_out`)) return [name, tf.zerosLike(tensor)];
      return [name, state[name.replace(`layers.${working}.`, "layers.0.")]];
    });
    model.loadStateDict(Object.fromEntries(entries));
    return model.forward(ids, { seed }).dataSync();
  };
  assert.deepEqual(withOnly(0), withOnly(1));
  assert.deepEqual(withOnly(0, 3), withOnly(0, 3));
  assert.notDeepEqual(withOnly(0, 3), withOnly(1, 3));
});
