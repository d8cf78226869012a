/** Runs that average parameters in rounds of local steps. @module */

import assert from "node:assert/strict";
import { DilocoReplica } from "../../src/dist/replica/diloco_replica.ts";
import { runSingle } from "../../src/dist/single.ts";
import { averagingToy, DILOCO, toyOf } from "./support/average_toys.ts";
import { ElasticRun } from "./support/elastic_toys.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { runWithRestarts } from "./support/restarts.ts";
import { runToys } from "./support/run_toys.ts";
import { noise, type ToyOptions, toyPlan, ToyReplica } from "./support/toy.ts";
import { storm } from "./support/weather.ts";

const PLAIN = { rate: 1, momentum: 0 };
const diloco = { localSteps: 3, warmupSteps: 2, outer: DILOCO };
const plan = toyPlan({ steps: 12, diloco, hashEvery: 1 });

/** Plain SGD on the mean gradient: no momentum, no clipping. */
class SgdToy extends ToyReplica {
  override update(mean: Float32Array): void {
    for (let i = 0; i < this.size; i++) this.params[i] -= 0.1 * mean[i];
  }
}

Deno.test("two rounds of two members, computed by hand: they go downhill, weighted by tokens", async () => {
  const diloco = { localSteps: 2, warmupSteps: 0, outer: DILOCO };
  // Mean gradients 2 and -2, of 3 tokens and of 1: with rate 0.1 the members go from 1 to 0.6 and to 1.4.
  const alter: ToyOptions["alter"] = (sum, _, microBatch) =>
    Object.assign(sum, {
      lossSum: 1,
      tokens: microBatch === 0 ? 3 : 1,
      gradient: new Float32Array([microBatch === 0 ? 6 : -2]),
    });
  const replicas = [0, 1].map(() => {
    const toy = new SgdToy({ size: 1, alter });
    toy.params[0] = 1;
    return new DilocoReplica(toy, DILOCO);
  });
  using bus = new MemoryBus();
  const evaluation = { every: 0, microBatches: 0 };
  const changes = { diloco, evaluation, microBatches: 2, startWorkers: 2, minWorkers: 2 };
  for (
    const [steps, startStep, expected] of [
      // (6 · 0.4 - 2 · 0.4) / 8 = 0.2 is the gradient and the velocity: 1 - 0.7 · (0.2 + 0.9 · 0.2)
      [2, 0, 0.734],
      // again 0.2, so the velocity is 0.9 · 0.2 + 0.2 = 0.38: 0.734 - 0.7 · (0.2 + 0.9 · 0.38)
      [4, 2, 0.3546],
    ]
  ) {
    await runToys(
      () => bus.connect(),
      replicas,
      toyPlan({ ...changes, run: `to-${steps}`, steps, startStep }),
    );
    for (const replica of replicas) {
      const [value] = toyOf(replica).params;
      assert.ok(Math.abs(value - expected) < 1e-6, `${value} is not ${expected}`);
    }
  }
});

Deno.test("one local step of plain SGD, averaged plainly, trains as all-reduced gradients do", async () => {
  const diloco = { localSteps: 1, warmupSteps: 0, outer: PLAIN };
  for (const count of [1, 3]) {
    using bus = new MemoryBus();
    const gradients = new SgdToy();
    await runSingle(gradients, toyPlan({ steps: 6 }));
    const replicas = Array.from({ length: count }, () => new DilocoReplica(new SgdToy(), PLAIN));
    const changes = { steps: 6, diloco, startWorkers: count, hashEvery: 1 };
    const { outcome } = await runToys(() => bus.connect(), replicas, toyPlan(changes));
    assert.equal(outcome.tokens, gradients.tokens);
    const { params } = toyOf(replicas[0]);
    const off = params.reduce((most, value, i) => Math.max(most, Math.abs(value - gradients.params[i])), 0);
    assert.ok(off < 1e-5, `off by ${off}`);
    const moved = params.reduce((most, value, i) => Math.max(most, Math.abs(value - noise(1000, 1)[i])), 0);
    assert.ok(moved > 0.01, `moved by ${moved}`);
  }
});

Deno.test("a run without workers is that of one worker, bit for bit, warm-up and short last round included", async () => {
  const alone = averagingToy(), worker = averagingToy();
  const expected = await runSingle(alone, plan);
  using bus = new MemoryBus(storm(4, { lose: 0.05, double: 0.05, delay: 0.05, damage: 0.01 }));
  const { outcome, events } = await runToys(() => bus.connect(), [worker], plan);
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.deepEqual(await worker.state(), await alone.state());
  assert.equal(outcome.valLoss, expected.valLoss);
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  assert.deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.deepEqual(steps.map(({ round }) => round?.[1]), [
    undefined,
    undefined,
    5,
    5,
    5,
    8,
    8,
    8,
    11,
    11,
    11,
    12,
  ]);
  assert.ok(steps.every(({ samples }) => samples.every((crc) => crc !== null)));
  const evaluated = events.flatMap((event) => event.kind === "evaluated" ? [event.step] : []);
  assert.deepEqual(evaluated, [2, 5, 8, 11, 12], "what is due every 2 steps, at the ends of rounds");
});

Deno.test("a round sends as much as a step does, whatever its length", async () => {
  using bus = new MemoryBus();
  const replicas = [averagingToy(), averagingToy()];
  const { events } = await runToys(() => bus.connect(), replicas, { ...plan, startWorkers: 2 }, {
    sharesMemory: false,
  });
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  const vectors = 2 * 4 * 1000;
  assert.deepEqual(
    steps.map(({ bytesSent }) => bytesSent),
    [1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1].map((averagings) => averagings * vectors),
  );
  assert.deepEqual(steps.map((step) => step.bytesReceived), steps.map((step) => step.bytesSent));
});

Deno.test("a coordinator that dies in a round is replaced: the round is the same, and no member takes its steps again", async () => {
  const diloco = { localSteps: 3, warmupSteps: 1, outer: DILOCO };
  const changes = {
    diloco,
    steps: 9,
    evaluation: { every: 4, microBatches: 5 },
    startWorkers: 2,
    minWorkers: 2,
  };
  const calm = [averagingToy(), averagingToy()];
  using bus = new MemoryBus();
  const { outcome } = await runToys(() => bus.connect(), calm, toyPlan(changes));
  for (const point of ["before-commit", "after-commit"] as const) {
    const replicas = [averagingToy(), averagingToy()];
    const run = await runWithRestarts(bus, replicas, toyPlan({ ...changes, run: point }), [{
      point,
      step: 5,
    }]);
    assert.deepEqual(run.workers, [undefined, undefined]);
    const learned = run.events.find((event) => event.kind === "took over")!;
    assert.equal(learned.step, point === "before-commit" ? 4 : 7);
    assert.equal(run.outcome.paramsHash, outcome.paramsHash);
    assert.deepEqual([run.outcome.tokens, run.outcome.loss], [outcome.tokens, outcome.loss]);
    for (const [i, replica] of replicas.entries()) {
      assert.deepEqual(await replica.state(), await calm[i].state(), "moments, too");
      assert.equal(toyOf(replica).computed.length, toyOf(calm[i]).computed.length);
    }
    assert.deepEqual(run.record.steps, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(run.record.evaluations, [4, 9]); // 8 lies within the last round
  }
});

Deno.test("a run that resumes with the same members ends as if it had not stopped; a newcomer has the first one's moments", async () => {
  const diloco = { localSteps: 3, warmupSteps: 2, outer: DILOCO };
  const changes = { diloco, steps: 11, startWorkers: 2, minWorkers: 2 };
  using bus = new MemoryBus();
  const whole = [averagingToy(), averagingToy()], parts = [averagingToy(), averagingToy()];
  const { outcome } = await runToys(() => bus.connect(), whole, toyPlan({ ...changes, run: "whole" }));
  await runToys(() => bus.connect(), parts, toyPlan({ ...changes, run: "first", steps: 5 }));
  const resumed = [averagingToy({ seed: 5 }), averagingToy({ seed: 6 })];
  for (const [i, replica] of resumed.entries()) await replica.restore(await parts[i].state());
  const second = await runToys(
    () => bus.connect(),
    resumed,
    toyPlan({ ...changes, run: "second", startStep: 5 }),
  );
  assert.equal(second.outcome.paramsHash, outcome.paramsHash);
  for (const i of [0, 1]) assert.deepEqual(await resumed[i].state(), await whole[i].state());

  const others = [averagingToy(), averagingToy()];
  for (const replica of others) await replica.restore(await parts[0].state());
  const third = await runToys(
    () => bus.connect(),
    others,
    toyPlan({ ...changes, run: "third", startStep: 5 }),
  );
  assert.notEqual(third.outcome.paramsHash, outcome.paramsHash);
  assert.deepEqual(await others[0].hashes(), await others[1].hashes());
});

Deno.test("every member copies its moments for a checkpoint; one that can't write them is reported", async () => {
  using bus = new MemoryBus();
  const replicas = [averagingToy(), averagingToy(), averagingToy()];
  toyOf(replicas[2]).saveOwn = () => Promise.reject(new Error("no space"));
  const { events } = await runToys(() => bus.connect(), replicas, {
    ...plan,
    startWorkers: 3,
    minWorkers: 3,
    saveEvery: 4,
    steps: 8,
  });
  assert.deepEqual(replicas.map((replica) => toyOf(replica).saves), [[5, 8], [], []]);
  assert.deepEqual(toyOf(replicas[1]).ownSaves, [5, 8]);
  const told = events.filter(({ kind }) => kind === "unkept");
  assert.deepEqual(told[0], { kind: "unkept", member: "worker-2", step: 5, error: "no space" });
});

Deno.test("a bad number in any member's local steps skips the round for all, moments and all", async () => {
  const diloco = { localSteps: 3, warmupSteps: 0, outer: DILOCO };
  const bad: ToyOptions = {
    alter: ({ gradient }, step, microBatch) => {
      if (step === 5 && microBatch === 6) gradient[7] = NaN;
    },
  };
  using bus = new MemoryBus();
  const replicas = [averagingToy(bad), averagingToy(bad)];
  const { events } = await runToys(() => bus.connect(), replicas, {
    ...plan,
    diloco,
    steps: 9,
    startWorkers: 2,
  });
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  assert.deepEqual(steps.map(({ applied }) => applied), [1, 1, 1, 0, 0, 0, 1, 1, 1].map(Boolean));
  assert.match(steps[3].reason!, /micro-batch 6, computed by worker-1, is not finite/);
  assert.deepEqual(await replicas[0].hashes(), await replicas[1].hashes());
  assert.equal((await replicas[0].state()).updates, 6);
  assert.equal(toyOf(replicas[1]).updates, 6, "the local steps of the skipped round left nothing");
});

Deno.test("a newcomer gets the run's state and its donor's moments, and computes from the next round on", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, { ...plan, steps: 60, startWorkers: 2 });
  const stays = averagingToy(run.patient),
    other = averagingToy(run.patient),
    comes = averagingToy({ ...run.patient, seed: 9 });
  const workers = [await run.start("a", stays), await run.start("b", other)];
  await run.step(6);
  workers.push(await run.start("c", comes));
  await run.joined("c");
  const { paramsHash } = await run.outcome;
  assert.deepEqual(await Promise.all(workers.map(({ done }) => done)), [undefined, undefined, undefined]);
  assert.equal((await comes.hashes()).params, paramsHash);
  assert.deepEqual(await comes.hashes(), await stays.hashes());
  const first = run.steps.find(({ computed }) => "c" in computed)!;
  assert.equal(first.step, first.round![0]);
  assert.notDeepEqual(toyOf(comes).momentum, toyOf(stays).momentum, "moments are each member's own");
  const joining = run.events.findLast((event) => event.kind === "joining")!;
  const learned = run.steps.filter(({ computed }) => "c" in computed).length;
  assert.equal(
    toyOf(comes).updates,
    joining.step + learned,
    "they have seen what its donor's had, and its own steps",
  );
});
