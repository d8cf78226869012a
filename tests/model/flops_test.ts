import assert from "node:assert/strict";
import { flopsPerToken } from "../../src/model/options.ts";

const OPTIONS = { numTokens: 10, dim: 4, depth: 2, queryKeyDim: 2, groupSize: 3, expansionFactor: 1.5 };

Deno.test("flopsPerToken() is the count by hand of a small model", () => {
  // d 4, s 2, e 6, v 10; six tokens in two groups of three. Products of [rows, inner] × [inner, columns] for all six tokens:
  const flops = (rows: number, inner: number, columns: number) => 2 * rows * inner * columns;
  const toHidden = flops(6, 4, 12), toQk = flops(6, 4, 2), toOut = flops(6, 6, 4);
  const scores = 2 * flops(3, 2, 3), attended = 2 * flops(3, 3, 6); // of each of the two groups
  const contexts = 2 * flops(2, 3, 6), linear = 2 * flops(3, 2, 6);
  const layer = toHidden + toQk + toOut + scores + attended + contexts + linear;
  const logits = flops(6, 4, 10);
  assert.equal(flopsPerToken({ ...OPTIONS, causal: true }, 6), 3 * (2 * layer + logits) / 6);
});

Deno.test("flopsPerToken() of one causal group has no linear attention, and a short sequence a short group", () => {
  const noLinear = (n: number) => 3 * 2 * (2 * (4 * 12 + 4 * 2 + 6 * 4 + n * (2 + 6)) + 4 * 10);
  assert.equal(flopsPerToken({ ...OPTIONS, causal: true }, 3), noLinear(3));
  assert.equal(flopsPerToken({ ...OPTIONS, causal: true }, 2), noLinear(2));
  assert.equal(flopsPerToken(OPTIONS, 3), noLinear(3) + 3 * 2 * 2 * (2 * 2 * 6));
});
