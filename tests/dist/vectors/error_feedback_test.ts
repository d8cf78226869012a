/** @module */

import assert from "node:assert/strict";
import { codecOf, decode } from "../../../src/dist/vectors/codecs.ts";
import { FeedbackEncoder } from "../../../src/dist/vectors/error_feedback.ts";
import { normalArray } from "../../../src/prng.ts";
import { encodedBy, encodedWith } from "../support/encoded.ts";

const SIZE = 3000, INT8 = codecOf("int8");

/** Encodes the sum of a step and returns it decoded. */
function encoded(
  encoder: FeedbackEncoder,
  sum: Float32Array,
  tokens: number,
  name = "a sum",
  part = 0,
): Float32Array {
  const decoded = new Float32Array(sum.length);
  decode(INT8, encodedWith(encoder, part, sum, tokens, name), decoded);
  return decoded;
}

function addScaled(total: Float64Array, values: Float32Array, factor: number): void {
  values.forEach((value, i) => total[i] += value * factor);
}

function largest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((max, value, i) => Math.max(max, Math.abs(value - b[i])), 0);
}

Deno.test("error feedback telescopes: over the steps, means decoded and means encoded differ by the last residual", () => {
  const encoder = new FeedbackEncoder(INT8);
  const sent = new Float64Array(SIZE), wanted = new Float64Array(SIZE);
  const without = new Float64Array(SIZE);
  for (let step = 0; step < 60; step++) {
    const tokens = 100 + 37 * (step % 5); // batches differ in tokens
    const sum = normalArray(SIZE, step, "gradient", 1).map((value, i) => tokens * (value + i / SIZE));
    addScaled(wanted, sum, 1 / tokens);
    addScaled(sent, encoded(encoder, sum, tokens), 1 / tokens);
    addScaled(without, encoded(new FeedbackEncoder(INT8), sum, tokens), 1 / tokens);
    encoder.endStep(true);
  }
  // A step of zeros shows the residual: it encodes the residual alone, rounded, and leaves the rest.
  const zeros = new Float32Array(SIZE);
  for (let step = 0; step < 5; step++) {
    addScaled(sent, encoded(encoder, zeros, 1), 1);
    encoder.endStep(true);
  }
  assert.ok(largest(sent, wanted) < 1e-5, `off by ${largest(sent, wanted)}`);
  assert.ok(largest(without, wanted) > 0.05, "without feedback the errors add up");
});

Deno.test("two sums of a step: the first includes the residual, both add their error to the next one", () => {
  const encoder = new FeedbackEncoder(INT8), tokens = 64;
  const sums = [normalArray(SIZE, 1, "a", 9), normalArray(SIZE, 2, "a", 9)];
  const sent = new Float64Array(SIZE), wanted = new Float64Array(SIZE);
  for (let step = 0; step < 10; step++) {
    for (const [which, sum] of sums.entries()) {
      addScaled(wanted, sum, 1 / tokens);
      addScaled(sent, encoded(encoder, sum, tokens, `sum ${which}`), 1 / tokens);
    }
    encoder.endStep(true);
  }
  for (let step = 0; step < 5; step++) {
    addScaled(sent, encoded(encoder, new Float32Array(SIZE), tokens), 1 / tokens);
    encoder.endStep(true);
  }
  assert.ok(largest(sent, wanted) < 1e-6, `off by ${largest(sent, wanted)}`);
});

Deno.test("a sum that is encoded again in a step gives the same bytes, and its error counts once", () => {
  const once = new FeedbackEncoder(INT8), again = new FeedbackEncoder(INT8);
  const [a, b] = [normalArray(SIZE, 1, "a", 9), normalArray(SIZE, 2, "a", 9)];
  for (let step = 0; step < 4; step++) {
    const bytesOf = (encoder: FeedbackEncoder, sum: Float32Array, name: string, tokens = 64) =>
      encodedWith(encoder, 0, sum, tokens, name);
    const first = [bytesOf(once, a, "a"), bytesOf(once, b, "b")];
    const second = [bytesOf(again, a, "a"), bytesOf(again, b, "b")];
    assert.deepEqual(second, first);
    assert.deepEqual(
      [bytesOf(again, b, "b"), bytesOf(again, a, "a", 48)],
      first.toReversed(),
      "also for other tokens",
    );
    once.endStep(true);
    again.endStep(true);
    assert.deepEqual(again.residuals(), once.residuals());
  }
});

Deno.test("residuals change only at an applied step, and only of the parts that were encoded", () => {
  const encoder = new FeedbackEncoder(INT8);
  const sum = normalArray(SIZE, 3, "a", 1), zeros = new Float32Array(SIZE);
  const first = encoded(encoder, sum, 1);
  encoder.endStep(false);
  assert.deepEqual(encoded(encoder, sum, 1), first, "a skipped step has left nothing");
  encoder.endStep(true);
  assert.notDeepEqual(encoded(encoder, sum, 1), first);
  encoder.endStep(false);
  encoded(encoder, sum, 1, "a sum", 7); // a step without part 0
  encoder.endStep(true);
  const left = sum.map((value, i) => value - first[i]);
  assert.ok(largest(encoded(encoder, zeros, 1), left) < 1e-4, "part 0 still has its own");
  encoder.drop();
  assert.deepEqual(encoded(encoder, sum, 1), first, "nothing is carried after they were dropped");
});

Deno.test("error feedback is its arithmetic in plain TypeScript, bit for bit", () => {
  const encoder = new FeedbackEncoder(INT8), { fround } = Math;
  let residual = new Float32Array(SIZE);
  for (let step = 0; step < 4; step++) {
    const tokens = 50 + step;
    const lost = new Float32Array(SIZE);
    const sums = [normalArray(SIZE, step, "a", 9), normalArray(SIZE, step, "b", 1)];
    for (const [which, sum] of sums.entries()) {
      const values = sum.map((value, i) => which === 0 ? value + fround(residual[i] * tokens) : value);
      const wanted = new Float32Array(SIZE);
      decode(INT8, encodedBy(INT8, values), wanted);
      assert.deepEqual(encoded(encoder, sum, tokens, `sum ${which}`), wanted);
      wanted.forEach((read, i) => lost[i] += fround(fround(values[i] - read) / tokens));
    }
    residual = lost;
    encoder.endStep(true);
  }
});
