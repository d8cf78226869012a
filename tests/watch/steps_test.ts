/** Steps as columns, and thinned. @module */

import assert from "node:assert/strict";
import process from "node:process";
import { stringifyJson } from "../../src/json.ts";
import { StepTable } from "../../src/watch/steps.ts";
import { stepLine } from "./support/folders.ts";

function tableOf(lines: object[]): StepTable {
  const table = new StepTable();
  for (const line of lines) table.add(stringifyJson(line));
  return table;
}

Deno.test("thinned steps keep the mean, the extremes, and the last step of each bucket", () => {
  const losses = [5, 9, 1, 3, 4, 4, 4];
  const table = tableOf(losses.map((loss, i) => stepLine(i + 1, { loss })));
  const { step, loss, lossMin, lossMax, tokens, at } = table.thin(3);
  assert.deepEqual(step, [3, 6, 7]);
  assert.deepEqual(loss, [5, 3.666667, 4]);
  assert.deepEqual(lossMin, [1, 3, 4]);
  assert.deepEqual(lossMax, [9, 4, 4]);
  assert.deepEqual(tokens, [300, 600, 700]);
  assert.equal(at[0], Date.UTC(2026, 0, 1) / 1000 + 0.3);
});

Deno.test("as many points as steps are all steps, and speed is tokens by time", () => {
  const table = tableOf([stepLine(1), stepLine(2, { tokensPerSecond: 500 })]);
  const { step, tokensPerSecond, secondsPerStep, bytes, workers, lr } = table.thin(1000);
  assert.deepEqual({ step, tokensPerSecond, secondsPerStep, bytes, workers, lr }, {
    ...{ step: [1, 2], tokensPerSecond: [1000, 500], secondsPerStep: [0.1, 0.2] },
    ...{ bytes: [1500, 1500], workers: [2, 2], lr: [1e-3, 1e-3] },
  });
  assert.equal(table.speed().toFixed(6), (200 / 0.3).toFixed(6));
  assert.deepEqual(table.thin(1).tokensPerSecond, [666.6667]);
});

Deno.test("losses that are no number count in no mean, and a skipped step is named", () => {
  const table = tableOf([
    stepLine(1, { loss: 3 }),
    stepLine(2, { loss: NaN, applied: false }),
    stepLine(3, { loss: null, applied: false }), // as flashmob 0.1 wrote it
    stepLine(4, { loss: Infinity, applied: false }),
  ]);
  assert.deepEqual(table.thin(2).loss, [3, NaN]);
  assert.deepEqual(table.thin(1).loss, [3]);
  assert.deepEqual(table.skipped, [2, 3, 4]);
});

Deno.test("evaluations know their time and tokens, and the best is finite", () => {
  const table = tableOf([
    ...[stepLine(1), { step: 1, valLoss: NaN }, stepLine(2), { step: 2, valLoss: 2.5 }],
    ...[stepLine(3), { step: 3, valLoss: 2.75 }],
  ]);
  assert.deepEqual(table.validation.valLoss, [NaN, 2.5, 2.75]);
  assert.deepEqual(table.validation.tokens, [100, 200, 300]);
  assert.deepEqual(table.best(), { step: 2, valLoss: 2.5 });
  assert.equal(tableOf([]).best(), null);
});

Deno.test("lines that are torn, or say something else, are passed over", () => {
  const table = tableOf([stepLine(1)]);
  for (const line of ['{"step":2,"lo', "null", "[]", '{"step":"2","loss":1}', '{"loss":1}', "5"]) {
    table.add(line);
  }
  assert.equal(table.length, 1);
  assert.ok(Number.isNaN(table.value("loss", 1)) && table.value("loss", -1) === 3);
});

Deno.test("a part of the steps is found by its numbers", () => {
  const table = tableOf(Array.from({ length: 1000 }, (_, i) => stepLine(i + 11)));
  assert.equal(table.indexOf(11), 0);
  assert.equal(table.indexOf(500), 489);
  assert.equal(table.indexOf(5000), 1000);
  const { step } = table.thin(10, table.indexOf(100), table.indexOf(200));
  assert.deepEqual([step.length, step[0], step.at(-1)], [10, 109, 199]);
});

Deno.test("100,000 steps are read within seconds, and thinned within a fraction of one", () => {
  const lines = Array.from({ length: 100_000 }, (_, i) => JSON.stringify(stepLine(i + 1)));
  const table = new StepTable();
  const used = () => process.cpuUsage().user / 1000; // ms of this process: others may use the cores, too
  const begun = used();
  for (const line of lines) table.add(line);
  const read = used();
  const { step, loss } = table.thin(2000);
  const text = JSON.stringify(table.thin(2000));
  const done = used();
  assert.deepEqual([step.length, step[0], step.at(-1)], [2000, 50, 100_000]);
  assert.ok(loss.every(Number.isFinite) && text.length < 1e6, `${text.length} characters`);
  // 130 ms and 17 ms of an AMD EPYC.
  assert.ok(read - begun < 5000, `read in ${read - begun} ms`);
  assert.ok(done - read < 500, `thinned in ${done - read} ms`);
});
