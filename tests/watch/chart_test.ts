/** Curves in a terminal. @module */

import assert from "node:assert/strict";
import { lossChart, lossChartOfTwo } from "../../src/watch/chart.ts";

Deno.test("a curve is drawn within its place, from the first step to the last", () => {
  const points = Array.from({ length: 9 }, (_, i) => ({ step: 10 * (i + 1), loss: 5 - i / 2 }));
  assert.deepEqual(lossChart(points, 30, 5), [
    "5.000 ┤⠉⠓⠲⠤⣄⣀",
    "      │     ⠈⠉⠓⠲⠤⣄⣀",
    "2.333 ┤           ⠈⠉⠓⠲⠤⣄⣀",
    "1.000 ┤                 ⠈⠉⠓⠲⠤⣄",
    "       10              step 90",
  ]);
  const level = points.slice(0, 5).map(({ step }) => ({ step, loss: 3 }));
  assert.deepEqual(lossChartOfTwo(points, level, 30, 6), [
    "5.000 ┤aaa",
    "      │   aaaaa",
    "3.000 ┤bbbbbbbb****aa",
    "      │              aaaaa",
    "1.000 ┤                   aaaa",
    "       10              step 90",
  ]);
});

Deno.test("what can't be drawn gives no line", () => {
  const point = { step: 1, loss: 2 };
  assert.deepEqual(lossChart([], 80, 12), []);
  assert.deepEqual(lossChart([point], 80, 12), []);
  assert.deepEqual(lossChart([point, { step: 2, loss: NaN }], 80, 12), []);
  assert.deepEqual(lossChart([point, { step: 2, loss: 3 }], 10, 12), []);
  assert.deepEqual(lossChartOfTwo([point], [point], 80, 12), []);
});

Deno.test("losses that are equal, huge or missing are drawn all the same", () => {
  for (const losses of [[2, 2, 2], [1e30, NaN, 2], [-1e-9, Infinity, 1e-9, 5]]) {
    const points = losses.map((loss, i) => ({ step: i + 1, loss }));
    const chart = lossChart(points, 60, 8);
    assert.equal(chart.length, 8, `${losses}`);
    assert.ok(chart.every((line) => line.length <= 60 && !line.includes("NaN")), chart.join("\n"));
  }
});
