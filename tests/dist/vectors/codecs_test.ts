/** @module */

import assert from "node:assert/strict";
import { CODEC_NAMES, codecOf, decode as decodeInto } from "../../../src/dist/vectors/codecs.ts";
import { INT8_BLOCK } from "../../../src/dist/vectors/kernel.ts";
import { normalArray, randomStream } from "../../../src/prng.ts";
import { encodedBy } from "../support/encoded.ts";
import type { VectorCodec } from "../../../src/dist/vectors/codec.ts";

const ALL = CODEC_NAMES.map(codecOf);
const BFLOAT16 = codecOf("bfloat16"), INT8 = codecOf("int8");

function encode(codec: VectorCodec, values: Float32Array): Uint8Array {
  return encodedBy(codec, values);
}

/** Decodes from an odd address, as payloads of frames may have. */
function decode(codec: VectorCodec, bytes: Uint8Array, count: number): Float32Array {
  const unaligned = new Uint8Array(bytes.length + 1).subarray(1);
  unaligned.set(bytes);
  const values = new Float32Array(count).fill(7);
  decodeInto(codec, unaligned, values);
  return values;
}

function roundTrip(codec: VectorCodec, values: Float32Array): Float32Array {
  return decode(codec, encode(codec, values), values.length);
}

/** Values of all magnitudes, also subnormal ones, in blocks of similar ones. */
function mixed(size: number, seed: number): Float32Array {
  const values = normalArray(size, seed, "mixed", 1);
  const { uniform } = randomStream(seed, "exponents");
  return values.map((value, i) => value * 2 ** (Math.floor(uniform(i >> 10) * 250) - 140));
}

function maxOf(values: ArrayLike<number>): number {
  return Array.from(values).reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}

Deno.test("every codec keeps the number of values, and the same values give the same bytes", () => {
  for (const codec of ALL) {
    for (const size of [0, 1, 255, 256, 257, 16_384, 16_385, 40_000]) {
      const values = mixed(size, size);
      const bytes = encode(codec, values);
      assert.deepEqual(encode(codec, values.slice()), bytes);
      assert.equal(bytes.length, codec.byteLength(size));
      const decoded = decode(codec, bytes, size);
      assert.deepEqual(roundTrip(codec, decoded), decoded, "what it can represent it keeps");
    }
  }
});

Deno.test("float32 gives back every bit", () => {
  const bits = Uint32Array.from({ length: 5000 }, (_, i) => Math.imul(i, 0x9e3779b1));
  const decoded = roundTrip(codecOf("float32"), new Float32Array(bits.buffer));
  assert.deepEqual(new Uint32Array(decoded.buffer), bits);
});

Deno.test("bfloat16 is off by at most half a step, and by at most half of the smallest subnormal", () => {
  const values = mixed(50_000, 1);
  const decoded = roundTrip(BFLOAT16, values);
  values.forEach((value, i) => {
    const step = Math.max(2 ** (Math.floor(Math.log2(Math.abs(value))) - 7), 2 ** -133);
    assert.ok(Math.abs(value - decoded[i]) <= step / 2, `${value} became ${decoded[i]}`);
  });
});

Deno.test("bfloat16 rounds to nearest, ties to even", () => {
  const cases = [
    [1 + 2 ** -8, 1], // half-way: the even neighbour, downwards
    [1 + 3 * 2 ** -8, 1 + 2 ** -6], // and upwards
    [1 + 2 ** -8 + 2 ** -20, 1 + 2 ** -7],
    [-1 - 3 * 2 ** -8, -1 - 2 ** -6],
    [2 - 2 ** -9, 2], // into the next exponent
    [2 ** -134, 0], // half of the smallest subnormal
    [3 * 2 ** -134, 2 ** -132],
    [-0, -0],
  ];
  const decoded = roundTrip(BFLOAT16, Float32Array.from(cases, ([value]) => value));
  cases.forEach(([value, wanted], i) => assert.equal(decoded[i], wanted, `${value}`));
});

Deno.test("bfloat16 keeps infinities and NaN, and values that are too large become infinite", () => {
  const bits = new Uint32Array([0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff, 0x7f7fffff]);
  const decoded = roundTrip(BFLOAT16, new Float32Array(bits.buffer));
  assert.deepEqual([...decoded], [Infinity, -Infinity, NaN, NaN, NaN, Infinity]);
  const largest = Math.fround(2 ** 127 * (2 - 2 ** -7));
  assert.deepEqual(roundTrip(BFLOAT16, new Float32Array([largest])), new Float32Array([largest]));
});

/** int8 with nearest rounding as its comment defines it, value by value. */
function int8Plainly(values: Float32Array): Float32Array {
  const decoded = new Float32Array(values.length);
  for (let from = 0; from < values.length; from += INT8_BLOCK) {
    const block = values.subarray(from, from + INT8_BLOCK);
    const scale = Math.fround(maxOf(block) / 127);
    block.forEach((value, i) => decoded[from + i] = nearestEven(Math.fround(value / scale)) * scale);
  }
  return decoded;
}

function nearestEven(value: number): number {
  const down = Math.floor(value), above = value - down;
  return above < 0.5 || (above === 0.5 && down % 2 === 0) ? down : down + 1;
}

Deno.test("int8 is what its arithmetic in plain TypeScript gives, bit for bit", () => {
  const values = normalArray(70_001, 2, "plain", 3).map((value, i) => value * 10 ** (6 - (i >> 12)));
  const decoded = roundTrip(INT8, values);
  const wanted = int8Plainly(values);
  values.forEach((value, i) => assert.equal(decoded[i] + 0, wanted[i] + 0, `${value} at ${i}`));
});

Deno.test("int8 is off by at most half a scale, and a rounding of the smallest subnormals", () => {
  const values = mixed(100_000, 3);
  const decoded = roundTrip(INT8, values);
  for (let from = 0; from < values.length; from += INT8_BLOCK) {
    const scale = maxOf(values.subarray(from, from + INT8_BLOCK)) / 127;
    for (let i = from; i < Math.min(from + INT8_BLOCK, values.length); i++) {
      const bound = scale * (0.5 + 2 ** -15) + 64 * 2 ** -149;
      assert.ok(
        Math.abs(values[i] - decoded[i]) <= bound,
        `${values[i]} became ${decoded[i]}, scale ${scale}`,
      );
    }
  }
});

Deno.test("int8 is exact where values are whole multiples of the largest / 127", () => {
  for (const scale of [1, 2 ** -20, 3, 2 ** 100, 2 ** -149]) {
    const values = Float32Array.from({ length: 3 * INT8_BLOCK }, (_, i) => scale * (i % 255 - 127));
    assert.deepEqual(roundTrip(INT8, values), values);
  }
});

Deno.test("int8: a block with NaN or an infinity becomes NaN, its neighbours stay; one of zeros stays zero", () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    for (const place of [0, 3, 254, 255]) {
      const values = new Float32Array(4 * INT8_BLOCK).fill(127);
      values[INT8_BLOCK + place] = bad;
      values.fill(0, 3 * INT8_BLOCK);
      const decoded = roundTrip(INT8, values);
      const wanted = values.slice().fill(NaN, INT8_BLOCK, 2 * INT8_BLOCK);
      assert.deepEqual([...decoded], [...wanted], `${bad} at ${place}`); // NaN have different bits
    }
  }
});
