/** @module */

import assert from "node:assert/strict";
import { coordinate, type CoordinateOptions } from "../../src/dist/coordinator.ts";
import type { CoordinationPlan, DistEvent, RunOutcome } from "../../src/dist/plan.ts";
import { runSingle } from "../../src/dist/single.ts";
import { runWorker } from "../../src/dist/worker.ts";
import { MemoryBus } from "./memory_bus.ts";
import { ToyReplica, toyPlan } from "./toy.ts";

/** A run over a bus in memory. Workers that fail are the run's failure. */
export async function runToys(
  bus: MemoryBus,
  replicas: ToyReplica[],
  plan: CoordinationPlan,
  options: CoordinateOptions = {},
): Promise<{ outcome: RunOutcome; events: DistEvent[] }> {
  const events: DistEvent[] = [];
  const listening = Promise.withResolvers<void>();
  const coordination = coordinate(bus.connect(), plan, {
    ...options,
    onListening: listening.resolve,
    onEvent: (event) => {
      events.push(event);
      options.onEvent?.(event);
    },
  });
  await Promise.race([listening.promise, coordination]);
  const workers = replicas.map((replica, i) =>
    runWorker(bus.connect(), replica, {
      run: plan.run,
      member: `worker-${i}`,
      configHash: plan.configHash,
      canWrite: i === 0,
    })
  );
  const [outcome] = await Promise.all([coordination, ...workers]);
  return { outcome, events };
}

Deno.test("1 to 4 workers over a bus in memory end with the bits of a single process", async () => {
  const alone = new ToyReplica();
  const expected = await runSingle(alone, toyPlan());
  for (let count = 1; count <= 4; count++) {
    using bus = new MemoryBus();
    const replicas = Array.from({ length: count }, () => new ToyReplica());
    const { outcome, events } = await runToys(bus, replicas, toyPlan({ minWorkers: count }));
    assert.equal(outcome.paramsHash, expected.paramsHash);
    assert.equal(outcome.loss, expected.loss);
    assert.equal(outcome.valLoss, expected.valLoss);
    console.log(JSON.stringify(events.at(-2)), outcome);
  }
});
