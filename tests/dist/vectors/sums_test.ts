/** @module */

import assert from "node:assert/strict";
import { codecOf } from "../../../src/dist/vectors/codecs.ts";
import { HostVector, sumSubtree } from "../../../src/dist/vectors/gradient.ts";
import { PartialSums } from "../../../src/dist/allreduce/partial_sums.ts";
import { addInto, addLosses, BLOCK, blockSquares, divideBy, normOf } from "../../../src/dist/vectors/sums.ts";
import { assignRanges, splitOf, subtrees } from "../../../src/dist/vectors/tree.ts";
import { randomStream } from "../../../src/prng.ts";
import { noise } from "../support/toy.ts";
import { averaged } from "../support/averaged.ts";
import { floatBytes } from "../../../src/dist/vectors/floats.ts";

const SIZE = 37;
/** Magnitudes so different that another order of addition gives other bits. */
const gradientOf = (microBatch: number) =>
  Promise.resolve({
    lossSum: Math.sin(microBatch) * 10 ** (microBatch % 5),
    tokens: 3 + microBatch % 4,
    gradient: noise(SIZE, microBatch).map((value, i) => value * 10 ** ((microBatch * 3 + i) % 9 - 4)),
  });

/** The sum over a subtree, with its values. */
async function sumOf(lo: number, hi: number) {
  const vectorOf = async (microBatch: number) => {
    const sum = await gradientOf(microBatch);
    return { ...sum, gradient: new HostVector(sum.gradient) };
  };
  const { gradient, ...sum } = await sumSubtree(vectorOf, lo, hi);
  return { ...sum, gradient: (await gradient.toHost()).values };
}

/** Adds a sum to the step; returns the whole sum once it is complete. */
function addTo(step: PartialSums, lo: number, hi: number, part: number, sum: Float32Array) {
  const { leaves } = step;
  const sums = step.add(lo, hi, part, { bytes: floatBytes(sum) });
  if (!sums) return undefined;
  const mean = averaged({ sums, codec: codecOf("float32"), leaves, tokens: 1, values: sum.length });
  step.release(sums.values());
  return mean;
}

/** Numbers below `count` in a random order. */
function shuffled<T>(values: T[], seed: number): T[] {
  const { word } = randomStream(seed, "shuffle");
  return values.map((value, i) => ({ value, key: word(i) })).sort((a, b) => a.key - b.key).map(({ value }) =>
    value
  );
}

Deno.test("the sum is defined by the tree, not by which process adds which subtree nor by the order of arrival", async () => {
  for (const count of [1, 2, 3, 5, 8, 13]) {
    const whole = await sumOf(0, count);
    for (let seed = 0; seed < 40; seed++) {
      const { word } = randomStream(seed, "cuts");
      const cuts = [0, count, word(0) % (count + 1), word(1) % (count + 1)].sort((a, b) => a - b);
      const nodes = cuts.slice(1).flatMap((hi, i) => subtrees(cuts[i], hi, count));
      const step = new PartialSums(count);
      let sum: Float32Array | undefined;
      for (const [lo, hi] of shuffled(nodes, seed)) {
        assert.equal(sum, undefined, "complete only with the last one");
        sum = addTo(step, lo, hi, 0, (await sumOf(lo, hi)).gradient);
      }
      assert.deepEqual(floatBytes(sum!), floatBytes(whole.gradient));
      assert.equal(step.heldBytes, 0);
    }
  }
});

Deno.test("where leaves are absent the sum is over the others, in the tree's order", async () => {
  for (const absent of [[0], [3], [1, 2], [0, 1, 4], [0, 1, 2, 3]]) {
    const there = [0, 1, 2, 3, 4].filter((leaf) => !absent.includes(leaf));
    const at = new Map<number, Float32Array>();
    for (const leaf of there) at.set(leaf, (await gradientOf(leaf)).gradient);
    const add = (left?: Float32Array, right?: Float32Array) =>
      left && right ? left.map((value, i) => value + right[i]) : left ?? right;
    const expected = add(add(add(at.get(0), at.get(1)), add(at.get(2), at.get(3))), at.get(4))!;
    const step = new PartialSums(5, new Set(absent));
    let sum: Float32Array | undefined;
    for (const leaf of shuffled(there, 1)) {
      assert.equal(sum, undefined);
      sum = addTo(step, leaf, leaf + 1, 0, at.get(leaf)!.slice());
    }
    assert.deepEqual(floatBytes(sum!), floatBytes(expected), String(absent));
  }
});

Deno.test("another order of addition would give other bits, so the test above can fail", async () => {
  const whole = await sumOf(0, 8);
  const straight = (await gradientOf(0)).gradient;
  for (let i = 1; i < 8; i++) addInto(straight, (await gradientOf(i)).gradient);
  assert.notDeepEqual(floatBytes(straight), floatBytes(whole.gradient));
});

Deno.test("losses and tokens are added in the order of the vectors", async () => {
  const losses = await Promise.all(Array.from({ length: 13 }, (_, i) => gradientOf(i)));
  const whole = await sumOf(0, 13);
  assert.deepEqual(addLosses(losses), { lossSum: whole.lossSum, tokens: whole.tokens });
  assert.notEqual(whole.lossSum, losses.reduce((sum, { lossSum }) => sum + lossSum, 0));
  assert.deepEqual(addLosses([]), { lossSum: 0, tokens: 0 });
});

Deno.test("PartialSums accepts duplicate, contained and larger sums without adding anything twice", async () => {
  const sum = async (lo: number, hi: number) => (await sumOf(lo, hi)).gradient;
  const step = new PartialSums(8);
  assert.equal(addTo(step, 0, 1, 0, await sum(0, 1)), undefined);
  assert.equal(addTo(step, 0, 1, 0, await sum(0, 1)), undefined, "doubled");
  assert.equal(addTo(step, 0, 4, 0, await sum(0, 4)), undefined, "takes the place of [0, 1)");
  assert.equal(step.heldBytes, 4 * SIZE);
  assert.equal(addTo(step, 1, 2, 0, await sum(1, 2)), undefined, "contained");
  assert.equal(step.heldBytes, 4 * SIZE);
  const whole = addTo(step, 4, 8, 0, await sum(4, 8));
  assert.deepEqual(whole, await sum(0, 8));
  assert.equal(addTo(step, 4, 8, 0, await sum(4, 8)), undefined, "after the end");
  assert.equal(step.heldBytes, 0);
});

Deno.test("PartialSums keeps parts apart", async () => {
  const step = new PartialSums(2);
  const [left, right] = [(await gradientOf(0)).gradient, (await gradientOf(1)).gradient];
  assert.equal(addTo(step, 0, 1, 0, left.slice(0, 20)), undefined);
  assert.equal(addTo(step, 1, 2, 1, right.slice(20)), undefined);
  const whole = (await sumOf(0, 2)).gradient;
  assert.deepEqual(addTo(step, 0, 1, 1, left.slice(20)), whole.slice(20));
  assert.deepEqual(addTo(step, 1, 2, 0, right.slice(0, 20)), whole.slice(0, 20));
});

Deno.test("PartialSums rejects a sum that is not a node of the tree", () => {
  assert.throws(() => new PartialSums(8).add(1, 3, 0, { bytes: new Uint8Array(4) }), RangeError);
});

Deno.test("3 + 5 sequences with different numbers of counted tokens give the mean of one batch of 8", async () => {
  const ofRange = (lo: number, hi: number) =>
    Promise.all(
      subtrees(lo, hi, 8).map(async ([from, to]) => ({
        lo: from,
        hi: to,
        ...await sumOf(from, to),
      })),
    );
  const step = new PartialSums(8);
  let mean: Float32Array | undefined;
  let tokens = 0;
  for (const sum of [...await ofRange(3, 8), ...await ofRange(0, 3)]) {
    tokens += sum.tokens;
    mean = addTo(step, sum.lo, sum.hi, 0, sum.gradient) ?? mean;
  }
  const whole = await sumOf(0, 8);
  assert.equal(tokens, whole.tokens);
  divideBy(mean!, tokens);
  divideBy(whole.gradient, whole.tokens);
  assert.deepEqual(floatBytes(mean!), floatBytes(whole.gradient));
  // …and it is the weighted mean: float64 arithmetic agrees within float32's rounding of 8 additions.
  const losses = await Promise.all(Array.from({ length: 8 }, (_, i) => gradientOf(i)));
  for (let i = 0; i < SIZE; i++) {
    const exact = losses.reduce((sum, { gradient }) => sum + gradient[i], 0) / tokens;
    const scale = losses.reduce((sum, { gradient }) => sum + Math.abs(gradient[i]), 0) / tokens;
    assert.ok(Math.abs(mean![i] - exact) <= 8 * 2 ** -24 * scale);
  }
});

Deno.test("gradients (3, 0) and (0, 4) of two workers are clipped by the norm of their mean", () => {
  const step = new PartialSums(2);
  addTo(step, 0, 1, 0, Float32Array.of(3, 0));
  const mean = addTo(step, 1, 2, 0, Float32Array.of(0, 4))!;
  divideBy(mean, 2);
  assert.deepEqual([...mean], [1.5, 2]);
  assert.equal(normOf(blockSquares(mean)), 2.5);
});

Deno.test("the norm does not depend on how the vector is cut into parts of whole blocks", () => {
  const values = noise(3 * BLOCK + 1234, 9);
  const whole = normOf(blockSquares(values));
  for (const blocks of [1, 2, 3]) {
    const squares: number[] = [];
    for (let from = 0; from < values.length; from += blocks * BLOCK) {
      squares.push(...blockSquares(values.subarray(from, from + blocks * BLOCK)));
    }
    assert.equal(normOf(squares), whole);
  }
});

Deno.test("subnormal numbers survive adding and dividing", () => {
  const least = 2 ** -149; // the smallest float32
  const sum = Float32Array.of(least, 3 * least, -least);
  addInto(sum, Float32Array.of(least, 3 * least, least));
  assert.deepEqual([...sum], [2 * least, 6 * least, 0]);
  divideBy(sum, 2);
  assert.deepEqual([...sum], [least, 3 * least, 0]);
});

Deno.test("ranges of members are cut at nodes: adding the members' subtrees follows the tree", async () => {
  const whole = (await sumOf(0, 11)).gradient;
  const step = new PartialSums(11);
  let sum: Float32Array | undefined;
  for (const [lo, hi] of assignRanges(11, [1, 2, 1]).toReversed()) {
    for (const [from, to] of subtrees(lo, hi, 11)) {
      sum = addTo(step, from, to, 0, (await sumOf(from, to)).gradient) ?? sum;
    }
  }
  assert.deepEqual(sum, whole);
  assert.equal(splitOf(0, 11), 8);
});
