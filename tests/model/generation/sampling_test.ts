import assert from "node:assert/strict";
import { sampleToken, type Sampling } from "../../../src/model/generation/sampling.ts";

/** How often each token comes when the deciding number runs over [0, 1) in equal steps. */
function shares(logits: number[], sampling: Sampling): number[] {
  const counts = logits.map(() => 0), steps = 10_000;
  for (let i = 0; i < steps; i++) counts[sampleToken(logits, sampling, (i + 0.5) / steps)]++;
  return counts.map((count) => count / steps);
}

const LOGITS = [0.5, 0.1, 0.3, 0.1].map(Math.log);
const near = (actual: number[], wanted: number[]) =>
  // counting 10,000 equal steps is off by one step at most per token
  actual.forEach((share, token) =>
    assert.ok(Math.abs(share - wanted[token]) < 3e-4, `${actual} ≉ ${wanted}`)
  );

Deno.test("a token comes as often as its probability says", () => {
  near(shares(LOGITS, {}), [0.5, 0.1, 0.3, 0.1]);
  near(shares(LOGITS, { topK: 4, topP: 1 }), [0.5, 0.1, 0.3, 0.1]);
});

Deno.test("temperature flattens or sharpens, and 0 takes the most likely, the first of equals", () => {
  const squares = LOGITS.map((logit) => Math.exp(2 * logit));
  const sum = squares.reduce((a, b) => a + b);
  near(shares(LOGITS, { temperature: 0.5 }), squares.map((square) => square / sum));
  assert.deepEqual(shares(LOGITS, { temperature: 0 }), [1, 0, 0, 0]);
  assert.deepEqual(shares([1, 3, 3], { temperature: 0 }), [0, 1, 0]);
  assert.deepEqual(shares([0, 1000, -1000], { temperature: 1e-300 }), [0, 1, 0]);
});

Deno.test("topK leaves that many tokens, all where there are fewer", () => {
  near(shares(LOGITS, { topK: 2 }), [0.5 / 0.8, 0, 0.3 / 0.8, 0]);
  assert.deepEqual(shares(LOGITS, { topK: 1 }), [1, 0, 0, 0]);
  near(shares(LOGITS, { topK: 100 }), [0.5, 0.1, 0.3, 0.1]);
});

Deno.test("topP leaves the fewest tokens that have this probability, one at least", () => {
  near(shares(LOGITS, { topP: 0.6 }), [0.5 / 0.8, 0, 0.3 / 0.8, 0]);
  assert.deepEqual(shares(LOGITS, { topP: 1e-9 }), [1, 0, 0, 0]);
  near(shares(LOGITS, { topK: 2, topP: 0.9 }), [0.5 / 0.8, 0, 0.3 / 0.8, 0]);
});

Deno.test("the largest number below 1 draws a token that can come", () => {
  assert.equal(sampleToken([0, -Infinity + 1, 0, -800].map((x) => Math.max(x, -800)), {}, 1 - 2 ** -24), 2);
});
