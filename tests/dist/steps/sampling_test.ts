/** Samples of toys: nothing waits for them, and they cost nothing but themselves. @module */

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { DistEvent } from "../../../src/dist/replica/plan.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { Sampler } from "../../../src/dist/worker/sampler.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { runToys } from "../support/run_toys.ts";
import { toyPlan, ToyReplica, UNHURRIED } from "../support/toy.ts";

const PLAN = { ...UNHURRIED, evaluation: { every: 2, microBatches: 5, prompts: ["a", "b"] } };

/** What was told of samples, without who has made them. */
function samplesOf(events: readonly DistEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.kind === "sample") return [`${event.step} ${event.prompt}: ${event.text}`];
    return event.kind === "unsampled" ? [`${event.step}: ${event.error}`] : [];
  });
}

/** The order of samples and steps. */
const orderOf = (events: readonly DistEvent[]) =>
  events.flatMap((event) => {
    if (event.kind === "step") return [`step ${event.committed.step}`];
    return event.kind === "sample" && event.prompt === "a" ? [`sample ${event.step}`] : [];
  });

/** In one process. */
async function alone(plan: Parameters<typeof toyPlan>[0] = PLAN) {
  const events: DistEvent[] = [];
  const { paramsHash } = await runSingle(new ToyReplica(), toyPlan(plan), {
    onEvent: (event) => events.push(event),
  });
  return { paramsHash, samples: samplesOf(events) };
}

Deno.test("samples are the same in one process and with 1 to 3 workers, and the last of these by name makes them", async () => {
  using bus = new MemoryBus();
  const expected = await alone();
  assert.equal(expected.samples.length, 4);
  assert.equal((await alone({ evaluation: { every: 2, microBatches: 5 } })).paramsHash, expected.paramsHash);
  for (const count of [1, 2, 3]) {
    const replicas = Array.from({ length: count }, () => new ToyReplica());
    const plan = toyPlan({ ...PLAN, minWorkers: count });
    const { events, outcome } = await runToys(() => bus.connect(), replicas, plan);
    assert.deepEqual(samplesOf(events), expected.samples);
    assert.equal(outcome.paramsHash, expected.paramsHash);
    const members = events.flatMap((event) => event.kind === "sample" ? [event.member] : []);
    assert.deepEqual(members, new Array(4).fill(`worker-${count - 1}`));
  }
});

Deno.test("steps do not wait for a sample, later evaluations go without, and the last one has its own", async () => {
  using bus = new MemoryBus();
  const stepFive = Promise.withResolvers<void>();
  const slow = new ToyReplica({
    beforeToken: (step) => step === 1 ? stepFive.promise : undefined,
    beforeGradient: (step) => step === 5 ? stepFive.resolve() : undefined,
  });
  const plan = toyPlan({ ...PLAN, steps: 5, evaluation: { ...PLAN.evaluation, every: 1 } });
  const { events } = await runToys(() => bus.connect(), [slow], plan);
  const [first, ...others] = samplesOf(events).map((line) => line.replace(/: [0-9].*/, ""));
  assert.equal(first, "2: those of an earlier step were not done yet");
  assert.ok(others.includes("1 a") && others.includes("5 a"), others.join("\n"));
  const order = orderOf(events);
  assert.ok(order.indexOf("sample 1") > order.indexOf("step 4"), order.join());
  assert.equal(order.at(-1), "sample 5");
});

Deno.test("a sampler that is lost costs its samples; the run says so, and ends with the same parameters", async () => {
  using bus = new MemoryBus();
  const dies = Promise.withResolvers<void>();
  const lost = new ToyReplica({
    beforeToken: async () => {
      await dies.promise;
      await delay(50); // it ends before the next token
    },
    beforeGradient: (step) => {
      if (step < 3) return;
      dies.resolve();
      throw new Error("out of order");
    },
  });
  const plan = toyPlan({ ...PLAN, minWorkers: 1, startWorkers: 2 });
  const { events, outcome, workers } = await runToys(() => bus.connect(), [new ToyReplica(), lost], plan);
  const expected = await alone();
  assert.match(String(workers[1]), /out of order/);
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.deepEqual(samplesOf(events), [
    "2: the member was gone before they were done",
    ...expected.samples.slice(2),
  ]);
});

Deno.test("a replica that fails to sample costs its samples, with its reason, alone and with workers", async () => {
  using bus = new MemoryBus();
  const failing = () =>
    new ToyReplica({
      beforeToken: (step) => {
        if (step === 2) throw new RangeError("the model's weights are broken");
      },
    });
  const expected = await alone();
  const events: DistEvent[] = [];
  await runSingle(failing(), toyPlan(PLAN), { onEvent: (event) => events.push(event) });
  const wanted = ["2: the model's weights are broken", ...expected.samples.slice(2)];
  assert.deepEqual(samplesOf(events), wanted);
  const run = await runToys(() => bus.connect(), [failing()], toyPlan(PLAN));
  assert.deepEqual(samplesOf(run.events), wanted);
  assert.equal(run.outcome.paramsHash, expected.paramsHash);
});

Deno.test("an evaluation that is ordered again, since another member was lost, is sampled for once", async () => {
  const told: string[] = [];
  const sampler = new Sampler(new ToyReplica(), {
    isBusy: () => false,
    progress: () => {},
    tell: (step, result) => told.push(`${step} ${Object.keys(result)}`),
    fail: (error) => assert.fail(String(error)),
  });
  await Promise.all([sampler.sample(false), sampler.sample(true)]);
  await sampler.sample(true);
  assert.deepEqual(told, ["0 texts"]);
});
