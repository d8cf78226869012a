/** The kernel against the arithmetic in plain TypeScript. @module */

import assert from "node:assert/strict";
import { keyOf } from "../../../src/dist/allreduce/partial_sums.ts";
import { CODEC_NAMES, codecOf } from "../../../src/dist/vectors/codecs.ts";
import { CHUNK } from "../../../src/dist/vectors/kernel.ts";
import { addInto, BLOCK, blockSquares, divideBy, isFiniteVector } from "../../../src/dist/vectors/sums.ts";
import { subtrees } from "../../../src/dist/vectors/tree.ts";
import { normalArray, randomStream } from "../../../src/prng.ts";
import { averaged } from "../support/averaged.ts";
import { encodedBy } from "../support/encoded.ts";
import { floatBytes } from "../../../src/dist/vectors/floats.ts";

/** Values of all magnitudes, subnormal ones too. */
function mixed(size: number, seed: number): Float32Array {
  const { uniform } = randomStream(seed, "exponents");
  return normalArray(size, seed, "mixed", 1).map((value, i) =>
    value * 2 ** (Math.floor(uniform(i >> 10) * 230) - 140)
  );
}

function addPlainly(left: Float32Array, right: Float32Array): void {
  left.forEach((value, i) => left[i] = value + right[i]);
}

function dividePlainly(sum: Float32Array, tokens: number): void {
  sum.forEach((value, i) => sum[i] = value / tokens);
}

/** Each value as its codec defines it: from its half, or from its code and its block's scale. */
function decodePlainly(name: string, bytes: Uint8Array, count: number): Float32Array {
  const { buffer } = bytes.slice();
  if (name === "float32") return new Float32Array(buffer);
  if (name === "bfloat16") {
    return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (half) => half << 16).buffer);
  }
  const blocks = Math.ceil(count / 256);
  const scales = new Float32Array(buffer, 0, blocks), codes = new Int8Array(buffer, 4 * blocks);
  return Float32Array.from(codes, (code, i) => code * scales[i >> 8]);
}

Deno.test("meanByChunks() gives the bits of decoding, adding in the tree's order and dividing, for every codec", () => {
  const leaves = 7;
  for (const name of CODEC_NAMES) {
    const codec = codecOf(name);
    for (const size of [1, 3, 255, 257, CHUNK, CHUNK + 1, 2 * CHUNK + 1030]) {
      for (const tokens of [1, 3, 1000, 2 ** 24 + 1]) {
        const nodes = [[0, 3], [3, 5], [5, 7]].flatMap(([lo, hi]) => subtrees(lo, hi, leaves));
        const sums = new Map(nodes.map(([lo, hi], i) => {
          const bytes = encodedBy(codec, mixed(size, i + tokens));
          const unaligned = new Uint8Array(bytes.length + 1).subarray(1);
          unaligned.set(bytes);
          return [keyOf([lo, hi]), { bytes: unaligned }];
        }));
        const plain = [...sums.values()].map(({ bytes }) => decodePlainly(name, bytes, size));
        // [0, 2), and the others one by one.
        const [a, b, c, d, e, f] = plain;
        addPlainly(b, c);
        addPlainly(a, b);
        addPlainly(d, e);
        addPlainly(d, f);
        addPlainly(a, d);
        dividePlainly(a, tokens);
        const mean = averaged({ sums, codec, leaves, tokens, values: size });
        assert.deepEqual(floatBytes(mean), floatBytes(a), `${name}, ${size} values, ${tokens} tokens`);
      }
    }
  }
});

const SIZES = [1, 2, 3, 4, 257, CHUNK - 1, CHUNK, CHUNK + 1, BLOCK + 5, 2 * BLOCK + CHUNK + 1030];

Deno.test("addInto() and divideBy() give the bits of plain arithmetic", () => {
  for (const size of SIZES) {
    for (const tokens of [1, 3, 1000, 2 ** 24 + 1]) {
      const [sum, plain] = [mixed(size, 1), mixed(size, 1)];
      addInto(sum, mixed(size, 2));
      addPlainly(plain, mixed(size, 2));
      divideBy(sum, tokens);
      dividePlainly(plain, tokens);
      assert.deepEqual(floatBytes(sum), floatBytes(plain), `${size} values, ${tokens} tokens`);
    }
  }
});

Deno.test("divideBy() gives the sums of squares of the quotients, block by block", () => {
  const values = mixed(2 * BLOCK + 5, 9);
  const squares = divideBy(values, 3);
  assert.deepEqual(squares, blockSquares(values));
  assert.equal(squares.length, 3);
});

/** The sum of squares of a block, as it is defined: rows of 1,024 in order by column, rows of 32 likewise, then the 32. */
function definedSquares(block: Float32Array): number {
  const folded = (values: ArrayLike<number>, width: number) => {
    const columns = new Float64Array(width);
    for (let i = 0; i < values.length; i++) columns[i % width] += values[i];
    return columns;
  };
  const squares = Float64Array.from(block, (value) => value * value);
  return folded(folded(squares, 1024), 32).reduce((sum, column) => sum + column, 0);
}

Deno.test("blockSquares() adds the squares in the order that is defined, in float64", () => {
  blockSquares(mixed(CHUNK, 5)); // what it leaves in the kernel must not matter
  for (const size of [...SIZES, 31, 33, 1023, 1025, 4095, 4097]) {
    const values = mixed(size, 7);
    const blocks = Array.from({ length: Math.ceil(size / BLOCK) }, (_, i) => i * BLOCK);
    const wanted = blocks.map((from) => definedSquares(values.subarray(from, from + BLOCK)));
    assert.deepEqual(blockSquares(values), wanted, `${size} values`);
    assert.deepEqual(divideBy(values.slice(), 1), wanted, `${size} values, divided by 1`);
  }
  const values = mixed(BLOCK, 7);
  const inAnotherOrder = values.reduce((sum, value) => sum + value * value, 0);
  assert.notEqual(inAnotherOrder, definedSquares(values), "these values tell orders apart");
});

Deno.test("isFiniteVector() finds a bad value wherever it is, and takes the largest ones", () => {
  for (const size of SIZES) {
    const largest = mixed(size, 3).fill(-(2 - 2 ** -23) * 2 ** 127, size - 1);
    assert.ok(isFiniteVector(largest), `${size} values`);
    for (const bad of [NaN, Infinity, -Infinity]) {
      for (const at of [0, size >> 1, size - 1]) assert.ok(!isFiniteVector(largest.with(at, bad)));
    }
    assert.ok(isFiniteVector(largest), "what was there before is gone");
  }
});
