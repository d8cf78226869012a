/** Workers are killed, leave and join at random, while messages are lost. @module */

import assert from "node:assert/strict";
import { randomStream } from "../../src/prng.ts";
import { runSingle } from "../../src/dist/single.ts";
import { ElasticRun, type ElasticWorker } from "./support/elastic_toys.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import { storm } from "./support/weather.ts";

const STEPS = 300;
const MOST_WORKERS = 4;

Deno.test("300 steps of random kills, leaves and joins: each commits once, with the bits of a single process", async () => {
  using bus = new MemoryBus(storm(5, { lose: 0.002, double: 0.01, delay: 0.01, damage: 0.001 }));
  const plan = toyPlan({
    steps: STEPS,
    evaluation: { every: 25, microBatches: 3 },
    saveEvery: 40,
    heartbeatSeconds: 0.05,
    patienceSeconds: 0.4,
    silenceSeconds: 5,
  });
  const run = new ElasticRun(bus, plan);
  const { uniform } = randomStream(5, "chaos");
  let drawn = 0, started = 0;
  const workers = new Map<string, { replica: ToyReplica; worker: ElasticWorker }>();
  const start = async () => {
    const name = `w${started++}`;
    const replica = new ToyReplica();
    const worker = await run.start(name, replica);
    workers.set(name, { replica, worker });
    worker.done.then(() => workers.delete(name));
  };
  await start();
  let losses = 0;
  for (let step = 1; step < STEPS; step++) {
    await run.step(step);
    const present = run.events.findLast((event) => event.kind === "step")!.committed.workers;
    const draw = uniform(drawn++);
    if (draw < 0.08 && workers.size < MOST_WORKERS) await start();
    else if (draw > 0.92 && present > 1) {
      const names = [...workers.keys()].filter((name) => run.steps.at(-1)!.computed[name]);
      const name = names[Math.floor(uniform(drawn++) * names.length)];
      losses++;
      if (uniform(drawn++) < 0.5) workers.get(name)?.worker.leave();
      else await workers.get(name)?.worker.end.close();
    }
  }
  const outcome = await run.outcome;
  const alone = await runSingle(new ToyReplica(), plan);
  assert.equal(outcome.paramsHash, alone.paramsHash);
  assert.equal(outcome.tokens, alone.tokens);
  assert.equal(outcome.valLoss, alone.valLoss);
  assert.deepEqual(run.steps.map(({ step }) => step), Array.from({ length: STEPS }, (_, i) => i + 1));
  for (const { computed } of run.steps) {
    assert.deepEqual(Object.values(computed).flat().sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
  }
  assert.ok(losses >= 5 && started >= 8, `${losses} lost, ${started} started`);
});
