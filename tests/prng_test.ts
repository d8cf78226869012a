import assert from "node:assert/strict";
import { normalArray, philox, randomStream, uniformArray } from "../src/prng.ts";

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, "0")).join(" ");

Deno.test("philox() gives the known answers of its authors", () => {
  const out = new Uint32Array(4);
  philox([0, 0, 0, 0], [0, 0], out);
  assert.equal(hex(out), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  philox(new Uint32Array(4).fill(0xffffffff), new Uint32Array(2).fill(0xffffffff), out);
  assert.equal(hex(out), "408f276d 41c83b0e a20bc7c6 6d5451fd");
});

Deno.test("randomStream() gives the same number at an index, in whatever order it is read", () => {
  const forward = randomStream(1, "test"), backward = randomStream(1, "test");
  const up = Array.from({ length: 50 }, (_, i) => forward.word(i));
  const down = Array.from({ length: 50 }, (_, i) => backward.word(49 - i)).reverse();
  assert.deepEqual(up, down);
  assert.equal(new Set(up).size, 50);
});

Deno.test("randomStream() differs for another seed, another purpose, and a seed above 32 bits", () => {
  const first = (seed: number, purpose: string) => randomStream(seed, purpose).word(0);
  const words = [
    first(1, "a"),
    first(2, "a"),
    first(1, "b"),
    first(1 + 2 ** 32, "a"),
    first(2 ** 53 - 1, "a"),
  ];
  assert.equal(new Set(words).size, words.length);
});

Deno.test("randomStream() counts on beyond 2^32 blocks", () => {
  const { word } = randomStream(1, "test");
  assert.notEqual(word(4 * 2 ** 32), word(0));
});

/** Mean and standard deviation. */
function moments(values: Float32Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(square) };
}

Deno.test("uniformArray() is uniform in its range", () => {
  const size = 100_000, values = uniformArray(size, 3, "test", -2, 4);
  const { mean, deviation } = moments(values);
  // five standard errors of the mean: 5 · 6/√12 / √size
  assert(Math.abs(mean - 1) < 5 * 6 / Math.sqrt(12 * size));
  assert(Math.abs(deviation / (6 / Math.sqrt(12)) - 1) < 0.01);
  assert(values.every((value) => value >= -2 && value < 4));
  assert(Math.min(...values.slice(0, 10_000)) < -1.99 && Math.max(...values.slice(0, 10_000)) > 3.99);
});

Deno.test("normalArray() makes each pair of numbers of one pair of uniforms", () => {
  const { uniform } = randomStream(3, "test"), values = normalArray(20, 3, "test", 1);
  for (let i = 0; i < 20; i += 2) {
    const squares = values[i] ** 2 + values[i + 1] ** 2;
    assert(Math.abs(squares + 2 * Math.log(1 - uniform(i))) < 1e-5); // two values rounded to float32
  }
});

Deno.test("normalArray() is normal, with its two halves of a pair independent", () => {
  const size = 100_000, values = normalArray(size, 3, "test", 0.5);
  const { mean, deviation } = moments(values);
  assert(Math.abs(mean) < 5 * 0.5 / Math.sqrt(size));
  assert(Math.abs(deviation / 0.5 - 1) < 0.02);
  const beyond = values.filter((value) => Math.abs(value) > 1).length / size;
  assert(Math.abs(beyond - 0.0455) < 0.004, `${beyond} lie beyond two deviations, 0.0455 should`);
  let product = 0;
  for (let i = 0; i < size; i += 2) product += values[i] * values[i + 1];
  // five standard errors of the mean of size/2 products
  assert(Math.abs(product / (size / 2)) < 5 * 0.25 / Math.sqrt(size / 2));
});
