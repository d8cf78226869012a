import assert from "node:assert/strict";
import { permutation } from "../../src/data/permutation.ts";

const indices = (size: number) => Array.from({ length: size }, (_, i) => i);

Deno.test("permutation() reaches each index once, for sizes at and around powers of two and four", () => {
  for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 1000, 1023, 1025, 4096, 45222]) {
    for (const [seed, epoch] of [[0, 0], [1, 0], [1, 1], [2 ** 40, 12345]]) {
      const order = permutation(size, seed, epoch);
      const seen = new Uint8Array(size);
      for (const index of indices(size)) seen[order(index)]++;
      assert.ok(seen.every((times) => times === 1), `size ${size}, seed ${seed}, epoch ${epoch}`);
    }
  }
});

Deno.test("permutation() differs between seeds and between epochs", () => {
  const at = (seed: number, epoch: number) => indices(100).map(permutation(100, seed, epoch)).join();
  assert.equal(new Set([at(1, 0), at(1, 1), at(2, 0), at(2, 1), at(1 + 2 ** 32, 0)]).size, 5);
  assert.equal(at(1, 0), at(1, 0));
});

Deno.test("permutation() looks random: few fixed points, neighbours go far apart", () => {
  const size = 10_000, order = indices(size).map(permutation(size, 3, 0));
  const fixed = order.filter((to, from) => to === from).length;
  const neighbours = order.filter((to, from) => from > 0 && Math.abs(to - order[from - 1]) === 1).length;
  // Of a random permutation: Poisson with means 1 and 2; 12 and more has a chance below 1e-6.
  assert.ok(fixed < 12 && neighbours < 12, `${fixed} fixed, ${neighbours} neighbours`);
  // Of two random indices, 19 % are less than a tenth of the size apart: deviation 0.4 %.
  const near = order.filter((to, from) => from > 0 && Math.abs(to - order[from - 1]) < size / 10).length;
  assert.ok(Math.abs(near / size - 0.19) < 0.02, `${near} near`);
  // The first places of the order come from all over the text: their mean has a deviation of 2887 / √1000 = 91.
  const mean = order.slice(0, 1000).reduce((sum, to) => sum + to, 0) / 1000;
  assert.ok(Math.abs(mean - size / 2) < 5 * 91, `mean ${mean}`);
});

Deno.test("permutation() refuses an index outside its size", () => {
  assert.throws(() => permutation(5, 1, 0)(5), RangeError);
  assert.throws(() => permutation(5, 1, 0)(-1), RangeError);
});
