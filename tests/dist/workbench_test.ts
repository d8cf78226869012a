/** @module */

import assert from "node:assert/strict";
import { decodeFrame, encodeFrame, floatBytes, type Frame } from "../../src/dist/frames.ts";
import { Workbench } from "../../src/dist/workbench.ts";
import { noise, ToyReplica } from "./toy.ts";

Deno.test("a mean and a commit that were not applied are forgotten when another coordinator takes over; sums stay", async () => {
  const size = 10;
  const bench = new Workbench(new ToyReplica({ size }), {
    microBatches: 2,
    codec: "float32",
    partElements: size,
    windowBytes: 1e6,
  }, {
    begin: () => {},
    send: () => {},
    reach: () => {},
    fail: (error) => assert.fail(String(error)),
  });
  await bench.compute(() => [[0, 2]], () => {});
  const mean = { kind: "mean", run: "toy", sender: "coordinator", step: 1, part: 0, parts: 1 } as const;
  const frame = encodeFrame({ ...mean, codec: "float32", payload: floatBytes(noise(size, 1)) });
  bench.vectors.takeMean(decodeFrame(frame, "toy") as Frame);
  bench.note(1, { apply: true, norm: 1, loss: 1, tokens: 1, crcs: [] });
  assert.ok(bench.canApply);
  bench.forgetUnapplied();
  assert.ok(!bench.canApply);
  assert.equal(bench.vectors.meanOf(1), undefined);
  bench.note(1, { apply: true, norm: 1, loss: 1, tokens: 1, crcs: [] });
  assert.ok(!bench.canApply, "the mean has to come again");
  assert.ok(bench.vectors.sumOf(1, [0, 2]), "the sum is what it was");
});
