/** Runs with bfloat16 and int8 on the wire. @module */

import assert from "node:assert/strict";
import { codecOf, decode } from "../../src/dist/vectors/codecs.ts";
import { FeedbackEncoder } from "../../src/dist/vectors/error_feedback.ts";
import { computeSum } from "../../src/dist/replica/accumulate.ts";
import type { CoordinationPlan } from "../../src/dist/replica/plan.ts";
import { blockSquares, divideBy, normOf } from "../../src/dist/vectors/sums.ts";
import { runSingle } from "../../src/dist/single.ts";
import { partElementsFor } from "../../src/dist/allreduce/reduce_side.ts";
import { ElasticRun } from "./support/elastic_toys.ts";
import { fairWeather, MemoryBus } from "./support/memory_bus.ts";
import { runToys } from "./support/run_toys.ts";
import { type ToyOptions, toyPlan, ToyReplica, UNHURRIED } from "./support/toy.ts";
import { storm } from "./support/weather.ts";
import { encodedWith } from "./support/encoded.ts";

const LOSSY = ["bfloat16", "int8"] as const;
const SIZE = 450_000; // 3 parts of int8, 4 of bfloat16
const plan = toyPlan({ steps: 6, evaluation: { every: 0, microBatches: 0 }, partBytes: 256 * 1024 });

/** What one worker and a coordinator do with their vectors, on paper. */
async function trainOnPaper(
  replica: ToyReplica,
  plan: CoordinationPlan,
) {
  const { steps, microBatches } = plan;
  const codec = codecOf(plan.codec), partElements = partElementsFor(plan, 1024 * 1024);
  const worker = new FeedbackEncoder(codec), coordinator = new FeedbackEncoder(codec);
  for (let step = 1; step <= steps; step++) {
    const { sum: { gradient, tokens }, reports } = await computeSum(replica, step, 0, microBatches);
    const mean = await gradient.toHost();
    const bad = reports.some(({ finite }) => !finite);
    for (let part = 0; part * partElements < SIZE && !bad; part++) {
      const values = mean.values.subarray(part * partElements, (part + 1) * partElements);
      const name = `sum 0-${microBatches} of step ${step}`;
      decode(codec, encodedWith(worker, part, values, tokens, name), values);
      divideBy(values, tokens);
      decode(codec, encodedWith(coordinator, part, values, 1, `mean of step ${step}`), values);
    }
    const norm = normOf(blockSquares(mean.values));
    const apply = !bad && Number.isFinite(norm);
    await replica.apply(mean, { step, apply, norm, tokens });
    worker.endStep(apply);
    coordinator.endStep(apply);
  }
}

/** Step 2 has a gradient that is not finite; in step 4 finite ones have a sum that is not. */
const troubled: ToyOptions = {
  size: SIZE,
  alter: ({ gradient }, step, microBatch) => {
    if (step === 2 && microBatch === 5) gradient[7] = NaN;
    if (step === 4) gradient[100_000] = 3e38;
  },
};

Deno.test("a lossy run is the arithmetic on paper, skipped steps and all, whatever the network loses or doubles", async () => {
  const results = new Set<string>();
  const check = async (codec: typeof LOSSY[number]) => {
    const paper = new ToyReplica(troubled);
    await trainOnPaper(paper, { ...plan, codec });
    assert.equal(paper.updates, 4);
    const { params } = await paper.hashes();
    results.add(params);
    const stormy = storm(1, { lose: 0.1, double: 0.2, delay: 0.3, damage: 0.05 });
    await Promise.all([fairWeather, stormy].map(async (weather) => {
      using bus = new MemoryBus(weather);
      const replica = new ToyReplica(troubled);
      const { outcome } = await runToys(() => bus.connect(), [replica], {
        ...plan,
        codec,
        heartbeatSeconds: 0.03,
      });
      assert.equal(outcome.paramsHash, params, codec);
    }));
  };
  await Promise.all(LOSSY.map(check));
  assert.equal(results.size, 2, "each way to round gives other parameters");
});

Deno.test("with a lossy codec all replicas are equal, near the exact ones, and fewer bytes are sent", async () => {
  const exact = new ToyReplica({ size: SIZE });
  await runSingle(exact, plan);
  for (const codec of LOSSY) {
    for (const count of [1, 3]) {
      using bus = new MemoryBus();
      const replicas = Array.from({ length: count }, () => new ToyReplica({ size: SIZE }));
      const { outcome } = await runToys(() => bus.connect(), replicas, {
        ...plan,
        codec,
        ...UNHURRIED,
        minWorkers: count,
        hashEvery: 1, // replicas that differ end the run
      });
      assert.equal(new Set(replicas.map(({ params }) => String(params.slice(0, 5000)))).size, 1);
      const off = replicas[0].params.reduce((max, x, i) => Math.max(max, Math.abs(x - exact.params[i])), 0);
      assert.ok(off > 0 && off < 2e-3, `${codec}: off by ${off}`); // updates are up to 0.1 of values of 1 each step
      assert.equal(outcome.bytesReceived, plan.steps * count * codecOf(codec).byteLength(SIZE));
    }
  }
});

Deno.test("workers come and go in an int8 run: replicas stay equal, and dropped residuals are reported", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, { ...plan, codec: "int8", steps: 40, startWorkers: 2, hashEvery: 1 });
  const toy = () => new ToyReplica({ size: SIZE, ...run.patient });
  const stays = toy(), comes = toy();
  const workers = [await run.start("stays", stays), await run.start("leaves", toy())];
  await run.step(3);
  workers[1].leave();
  const dropped = await run.until(({ kind }) => kind === "residualsDropped");
  assert.deepEqual(dropped, { kind: "residualsDropped", holder: "leaves", reason: "it left" });
  workers.push(await run.start("comes", comes));
  await run.joined("comes");
  await run.outcome;
  assert.deepEqual(await Promise.all(workers.map(({ done }) => done)), [undefined, undefined, undefined]);
  assert.deepEqual(await comes.hashes(), await stays.hashes());
});
