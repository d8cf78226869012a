/** @module */

import assert from "node:assert/strict";
import { LossCurve, lossesIn } from "../../src/watch/loss_curve.ts";
import { RunsFolder } from "./support/folders.ts";

Deno.test("a curve keeps every step of a short run, and of a long one means with its first and last step", () => {
  const curve = new LossCurve();
  const steps = Array.from({ length: 100_001 }, (_, i) => ({ step: i + 1, loss: i }));
  for (const [i, step] of steps.entries()) {
    curve.add(step);
    if (i === 3000) assert.deepEqual(curve.points, steps.slice(0, i + 1));
  }
  const { points } = curve;
  assert.ok(points.length > 2000 && points.length <= 4096, `${points.length}`);
  assert.deepEqual(points.slice(0, 2), [{ step: 1, loss: 15.5 }, { step: 33, loss: 47.5 }]);
  assert.equal(points.at(-1)!.step, 100_001);
});

Deno.test("the losses of a file are those of applied steps; what is torn or something else is passed over", async () => {
  await using folder = await RunsFolder.open();
  const path = `${folder.path}/metrics.jsonl`;
  assert.deepEqual(lossesIn(path), []);
  const lines = [
    '{"step":1,"loss":3.5,"applied":true}',
    '{"step":1,"valLoss":9}',
    '{"step":2,"loss":7,"applied":false}',
    '{"step":3,"loss":"NaN","applied":true}',
    '{"step":4,"lo',
    '{"step":5,"loss":2}',
  ];
  await Deno.writeTextFile(path, lines.join("\n") + "\n");
  assert.deepEqual(lossesIn(path), [{ step: 1, loss: 3.5 }, { step: 5, loss: 2 }]);
});
