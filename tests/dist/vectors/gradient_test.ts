/** @module */

import assert from "node:assert/strict";
import {
  BorrowedVector,
  type GradientVector,
  HostVector,
  sumSubtree,
} from "../../../src/dist/vectors/gradient.ts";
import { floatBytes } from "../../../src/dist/vectors/floats.ts";
import { CHUNK } from "../../../src/dist/vectors/kernel.ts";
import { splitOf } from "../../../src/dist/vectors/tree.ts";
import { noise } from "../support/toy.ts";

/** More than a chunk of the kernel, and no multiple of anything. */
const SIZE = CHUNK + 37;
/** Magnitudes so different that another order of addition gives other bits. */
const gradients = Array.from(
  { length: 9 },
  (_, leaf) => noise(SIZE, leaf).map((value, i) => value * 10 ** ((leaf * 3 + i) % 9 - 4)),
);

/** Vectors that were made, to see which of them were released. */
let made: HostVector[] = [];

function vectorOf(values: Float32Array): HostVector {
  const vector = new HostVector(values.slice());
  made.push(vector);
  return vector;
}

const sumOf = (lo: number, hi: number, into?: Float32Array) => {
  made = [];
  const gradientOf = (leaf: number) =>
    Promise.resolve({ lossSum: Math.sin(leaf), tokens: 3 + leaf, gradient: vectorOf(gradients[leaf]) });
  return sumSubtree(gradientOf, lo, hi, into);
};

/** The definition, in plain arithmetic: a sum of two float32 values, rounded to float32, is exact in float64 and rounded once. */
function plainSum(lo: number, hi: number): Float32Array {
  if (hi - lo === 1) return gradients[lo];
  const middle = splitOf(lo, hi);
  const left = plainSum(lo, middle), right = plainSum(middle, hi);
  return left.map((value, i) => value + right[i]);
}

Deno.test("a sum written to given memory has the same bits, in all trees up to nine leaves", async () => {
  for (let hi = 1; hi <= 9; hi++) {
    const expected = floatBytes(plainSum(0, hi));
    const own = await sumOf(0, hi);
    assert.deepEqual(floatBytes((await own.gradient.toHost()).values), expected, `${hi} leaves`);
    assert.equal(made.filter(({ values }) => values.length > 0).length, 1, "the others are released");
    const memory = new Float32Array(SIZE + 8).fill(7), into = memory.subarray(4, 4 + SIZE);
    const given = await sumOf(0, hi, into);
    assert.deepEqual(floatBytes(into), expected, `${hi} leaves, given memory`);
    assert.deepEqual(memory.subarray(0, 4).join() + memory.subarray(-4).join(), "7,7,7,77,7,7,7");
    assert.ok(made.every(({ values }) => values.length === 0), "all are released");
    assert.deepEqual([given.lossSum, given.tokens], [own.lossSum, own.tokens]);
    given.gradient.release();
    assert.equal((await given.gradient.toHost()).values, into, "it is the vector, and stays its owner's");
    assert.equal(into.length, SIZE);
  }
});

Deno.test("a vector may be added to one that is kept elsewhere", async () => {
  /** Tells nothing of its values but by toHost(). */
  class Remote implements GradientVector {
    isReleased = false;
    constructor(readonly inner: HostVector) {}
    isFinite = () => this.inner.isFinite();
    divideBy = (tokens: number) => this.inner.divideBy(tokens);
    toHost = (into?: Float32Array) => this.inner.toHost(into);
    release = () => this.inner.release();
    async add(right: GradientVector, into?: Float32Array): Promise<GradientVector> {
      const sum = await this.inner.add(right, into);
      return into ? sum : this;
    }
  }
  const whole = plainSum(0, 2);
  const remote = () => new Remote(vectorOf(gradients[0])), host = () => vectorOf(gradients[1]);
  for (const [left, right] of [[remote(), host()], [host(), remote()]]) {
    assert.deepEqual((await (await left.add(right)).toHost()).values, whole);
  }
});

Deno.test("a released vector is empty, and may be released again", () => {
  const vector = vectorOf(gradients[0]);
  vector.release();
  vector.release();
  assert.equal(vector.values.length, 0);
});

Deno.test("a borrowed vector says whether it was whole after it is copied, and only then", async () => {
  const memory = gradients[0].slice();
  let holds = true;
  const vector = new BorrowedVector(memory, () => {
    if (!holds) throw new Error("overwritten");
  });
  const copy = new Float32Array(SIZE);
  assert.deepEqual((await vector.toHost(copy)).values, memory);
  holds = false;
  const host = await vector.toHost();
  assert.throws(() => host.assertWhole(), /overwritten/);
  await assert.rejects(vector.toHost(copy), /overwritten/);
  (await vector.toHost()).release();
  assert.equal(memory.length, SIZE, "its memory is its owner's");
});
