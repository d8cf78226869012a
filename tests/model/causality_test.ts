import assert from "node:assert/strict";
import { type FLASHTransformer, GAU } from "../../src/model/mod.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend } from "./backends.ts";
import { assertClose } from "./fixtures.ts";
import { jitter, randomIds, randomInput, smallTransformer } from "./models.ts";

const N = 28; // three and a half groups of 8

/** Logits of one sequence, row by row. */
const rowsOf = (model: FLASHTransformer, ids: number[]) =>
  (tf.tidy(() => model.forward([ids]).arraySync()) as number[][][])[0];

for (const laplaceAttnFn of [false, true]) {
  const what = laplaceAttnFn ? "Laplace" : "ReLU²";
  eachBackend(`a token changes no bit of the logits before it, at group boundaries too: ${what}`, () => {
    const model = smallTransformer({ laplaceAttnFn });
    const [ids] = randomIds(1, N, 19);
    const logits = rowsOf(model, ids);
    for (const t of [0, 1, 6, 7, 8, 9, 15, 16, 17, 23, 24, N - 1]) {
      const changed = rowsOf(model, ids.with(t, (ids[t] + 1) % 19));
      for (let row = 0; row < N; row++) {
        const same = logits[row].every((value, i) => Object.is(value, changed[row][i]));
        assert.equal(same, row < t, `token ${t} changed: row ${row}`);
      }
    }
  });
}

eachBackend("FLASHTransformer gives a prefix the logits that it has in the whole sequence", () => {
  const model = smallTransformer();
  const [ids] = randomIds(1, N, 19);
  const logits = rowsOf(model, ids);
  for (let k = 1; k < N; k++) {
    // other shapes are added up in another order: the bound of the fixtures
    assertClose(rowsOf(model, ids.slice(0, k)).flat(), logits.slice(0, k).flat(), `prefix of ${k}`);
  }
});

eachBackend("GAU: a token changes no bit of the outputs before it", () => {
  const layer = jitter(new GAU({ dim: 12, queryKeyDim: 10, causal: true, laplaceAttnFn: true }));
  const x = randomInput(1, 20, 12);
  const output = layer.forward(x).arraySync()[0];
  for (const t of [0, 1, 10, 19]) {
    const moved = tf.oneHot(tf.tensor1d([t], "int32"), 20).reshape([1, 20, 1]);
    const changed = layer.forward(tf.add(x, tf.mul(moved, randomInput(1, 1, 12, 7)))).arraySync()[0];
    output.forEach((row, i) =>
      assert.equal(row.every((value, j) => Object.is(value, changed[i][j])), i < t, `${t}: ${i}`)
    );
  }
});
