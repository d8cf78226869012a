/** @module */

import assert from "node:assert/strict";
import { decodeFrame, encodeFrame, type Frame } from "../../../src/dist/protocol/frames.ts";
import { decodeMessage, type Received } from "../../../src/dist/protocol/messages.ts";
import { StepExecutor } from "../../../src/dist/worker/step_executor.ts";
import { noise, ToyReplica } from "../support/toy.ts";
import { floatBytes } from "../../../src/dist/vectors/floats.ts";

const SIZE = 10;

function benchOf(replica: ToyReplica): StepExecutor {
  return new StepExecutor(replica, {
    microBatches: 2,
    codec: "float32",
    partElements: SIZE,
    windowBytes: 1e6,
  }, {
    begin: () => {},
    send: () => {},
    reach: () => {},
    fail: (error) => assert.fail(String(error)),
  });
}

Deno.test("a mean and a commit that were not applied are forgotten at a failover; sums stay", async () => {
  const executor = benchOf(new ToyReplica({ size: SIZE }));
  await executor.compute(() => [[0, 2]], () => {});
  const mean = { kind: "mean", run: "toy", sender: "coordinator", step: 1, part: 0, parts: 1 } as const;
  const frame = encodeFrame({ ...mean, codec: "float32", payload: floatBytes(noise(SIZE, 1)) });
  executor.vectors.takeMean(decodeFrame(frame, "toy") as Frame, false);
  executor.note(1, { apply: true, norm: 1, loss: 1, tokens: 1, samples: { count: 8, crc: 0 } });
  assert.ok(executor.canApply);
  executor.forgetUnapplied();
  assert.ok(!executor.canApply);
  assert.equal(executor.vectors.meanOf(1), undefined);
  executor.note(1, { apply: true, norm: 1, loss: 1, tokens: 1, samples: { count: 8, crc: 0 } });
  assert.ok(!executor.canApply, "the mean has to come again");
  assert.ok(executor.vectors.sumOf(1, [0, 2]), "the sum is what it was");
});

Deno.test("a pinned state is kept while it can't be requested, and released when it is not", async () => {
  const replica = new ToyReplica({ size: SIZE });
  const executor = benchOf(replica);
  await executor.pin();
  const question = decodeMessage(
    encodeFrame({ kind: "inspect", run: "toy", sender: "newcomer", step: 0 }),
    "toy",
  );
  const isThere = async () =>
    await executor.answer(question as Received, { run: "toy", sender: "donor", step: 0 }) !== undefined;
  replica.step = 1; // the run continues
  await new Promise((resolve) => setTimeout(resolve, 60));
  executor.release(0.05, false);
  assert.ok(await isThere());
  await new Promise((resolve) => setTimeout(resolve, 60));
  executor.release(0.05, true);
  assert.ok(!await isThere());
});
