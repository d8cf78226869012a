/** @module */

import assert from "node:assert/strict";
import { connectNats } from "../../src/dist/nats/transport.ts";
import type { CommittedStep } from "../../src/dist/replica/plan.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { type Connect, runToys, uploadsOf } from "./support/run_toys.ts";
import { toyPlan, ToyReplica, UNHURRIED } from "./support/toy.ts";

/** Trains with 1 to 4 workers and compares everything with a single process. */
async function compareWithSingle(connect: Connect, size: number, sharesMemory?: boolean) {
  const alone = new ToyReplica({ size });
  const expected = await runSingle(alone, toyPlan());
  for (let count = 1; count <= 4; count++) {
    const replicas = Array.from({ length: count }, () => new ToyReplica({ size }));
    const { outcome, events } = await runToys(
      connect,
      replicas,
      toyPlan({ ...UNHURRIED, minWorkers: count, windowBytes: 16 * 1024 * 1024 }),
      { sharesMemory },
    );
    assert.equal(outcome.paramsHash, expected.paramsHash);
    assert.equal(outcome.loss, expected.loss);
    assert.equal(outcome.valLoss, expected.valLoss);
    assert.equal(outcome.tokens, expected.tokens);
    if (sharesMemory === false) assert.equal(outcome.bytesReceived, 4 * count * 4 * size);
    if (sharesMemory) assert.equal(outcome.bytesSent, 0, "what is referred to does not travel");
    const all = replicas.flatMap((replica) => replica.computed).map(String).sort();
    assert.deepEqual(all, alone.computed.map(String).sort(), "each micro-batch is computed once");
    const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
    assert.deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4]);
    if (sharesMemory === false) assert.equal(outcome.bytesSent, uploadsOf(steps, 8) * 4 * size);
    const near = events.flatMap((event) => event.kind === "joined" && event.isNear ? event.member : [])
      .sort();
    const names = replicas.map((_, i) => `worker-${i}`);
    assert.deepEqual(near, names.filter((_, i) => sharesMemory ?? i % 2 === 0));
    for (const key of ["bytesSent", "bytesReceived"] as const) {
      assert.equal(steps.reduce((sum, step) => sum + step[key], 0), outcome[key]);
    }
    for (const { computed, workers } of steps) {
      assert.equal(workers, count);
      assert.deepEqual(Object.values(computed).flat().sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
    assert.deepEqual(replicas.map(({ saves }) => saves), replicas.map((_, i) => i === 0 ? [4] : []));
  }
}

const WAYS = [["all sharing memory", true], ["by messages", false], [
  "some sharing memory",
  undefined,
]] as const;

for (const [way, sharesMemory] of WAYS) {
  Deno.test(`1 to 4 workers over a bus in memory, ${way}, end with the bits of a single process`, async () => {
    using bus = new MemoryBus();
    await compareWithSingle(() => bus.connect(), 1000, sharesMemory);
  });

  Deno.test(`1 to 4 workers over a NATS server, ${way}, end with the bits of a single process`, async () => {
    await using server = await startNatsServer();
    await compareWithSingle((name) => connectNats(server.url, name), 200_000, sharesMemory);
  });
}

Deno.test("a single process skips a step with a bad number and says whose it was; in any other step it computes once", async () => {
  const replica = new ToyReplica({
    alter: ({ gradient }, step, microBatch) => {
      if (step === 2 && microBatch === 5) gradient[7] = NaN;
      if (step === 3) gradient[7] = 3e38;
    },
  });
  const steps: CommittedStep[] = [];
  await runSingle(replica, toyPlan(), {
    onEvent: (event) => event.kind === "step" && steps.push(event.committed),
  });
  assert.deepEqual(steps.map(({ applied }) => applied), [true, false, false, true]);
  assert.match(steps[1].reason!, /micro-batch 5, computed by single, is not finite/);
  assert.match(steps[2].reason!, /sum of the gradients is not finite/);
  const times = (step: number) => replica.computed.filter(([of]) => of === step).length;
  assert.deepEqual([1, 2, 3, 4].map(times), [8, 16, 16, 8]);
});
