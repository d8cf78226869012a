import assert from "node:assert/strict";
import {
  align,
  append,
  indexOf,
  interpolate,
  placesOf,
  smooth,
  spread,
} from "../../../src/dashboard/page/curves.js";

Deno.test("append() takes later rows only, so that what comes twice is there once", () => {
  const table = { step: [1, 2], loss: [5, 4] };
  append(table, { step: [2, 3], loss: [4, 3] });
  append(table, { step: [], loss: [] });
  assert.deepEqual(table, { step: [1, 2, 3], loss: [5, 4, 3] });
});

Deno.test("smooth() of a thinned curve is that of the whole curve", () => {
  const steps = Array.from({ length: 2000 }, (_, i) => i + 1);
  const values = steps.map((step) => Math.sin(step / 300));
  const whole = smooth(steps, values, 40);
  const isKept = (_: unknown, i: number) => i % 5 === 2;
  const thinned = smooth(steps.filter(isKept), values.filter(isKept), 40);
  const off = thinned.map((value, i) => Math.abs(value! - whole.filter(isKept)[i]!));
  assert.ok(Math.max(...off) < 0.01);
});

Deno.test("smooth() does not lag behind a falling line, and keeps gaps", () => {
  const steps = Array.from({ length: 400 }, (_, i) => i), line = steps.map((step) => 10 - step / 50);
  assert.ok(Math.abs(smooth(steps, line, 10)[200]! - line[200]) < 1e-9);
  assert.deepEqual(smooth([1, 2, 3], [1, null, 3], 1e20), [2, null, 2]);
  assert.deepEqual(smooth([1, 2], [1, 3], 0), [1, 3]);
  assert.deepEqual(smooth([], [], 5), []);
});

Deno.test("align() puts tables on one axis, and spread() their columns", () => {
  const { xs, rows } = align([[1, 2, 4], [2, 3], []]);
  assert.deepEqual(xs, [1, 2, 3, 4]);
  assert.deepEqual(rows, [[0, 1, 3], [1, 2], []]);
  assert.deepEqual(spread([7, 8], rows[1], xs.length), [undefined, 7, 8, undefined]);
  assert.deepEqual(align([[1, 1, 2]]).rows, [[0, 1, 2]]);
  assert.deepEqual(align([[1, 1, 2], [1]]).xs, [1, 1, 2]); // a skipped step counts no tokens
});

Deno.test("placesOf() never goes back, and rows that do not know their place take that of the row before", () => {
  const table = { step: [1, 2, 3], elapsed: [1.5, null, 4], tokens: [10, 20, 30] };
  assert.deepEqual(placesOf(table, "time"), [1.5, 1.5, 4]);
  assert.deepEqual(placesOf(table, "tokens"), [10, 20, 30]);
  assert.deepEqual(placesOf(table, "step"), [1, 2, 3]);
});

Deno.test("indexOf() and interpolate() find places between rows and outside", () => {
  assert.deepEqual([0, 1, 2, 5, 6].map((x) => indexOf([1, 3, 5], x)), [0, 0, 1, 2, 3]);
  assert.deepEqual([0, 2, 9].map((x) => interpolate([1, 3], [10, 20], x)), [10, 15, 20]);
  assert.ok(Number.isNaN(interpolate([], [], 1)));
});
