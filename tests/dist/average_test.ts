/** Runs that average parameters in rounds of local steps. @module */

import assert from "node:assert/strict";
import { AveragingReplica } from "../../src/dist/averaging_replica.ts";
import type { Range } from "../../src/dist/messages.ts";
import { addInto, divideBy } from "../../src/dist/reduction.ts";
import { runSingle } from "../../src/dist/single.ts";
import type { GradientSum, StepOutcome } from "../../src/dist/replica.ts";
import { assignRanges } from "../../src/dist/tree.ts";
import { ElasticRun } from "./elastic_toys.ts";
import { MemoryBus } from "./memory_bus.ts";
import { runToys } from "./run_toys.ts";
import { noise, type ToyOptions, toyPlan, ToyReplica } from "./toy.ts";
import { storm } from "./weather.ts";

const DILOCO = { rate: 0.7, momentum: 0.9 };
const PLAIN = { rate: 1, momentum: 0 };
const averaging = { localSteps: 3, warmupSteps: 2, outer: DILOCO };
const plan = toyPlan({ steps: 12, averaging, hashEvery: 1 });

const rounds = (options: ToyOptions = {}, outer = DILOCO) =>
  new AveragingReplica(new ToyReplica(options), outer);
const toyOf = (replica: AveragingReplica) => replica.inner as ToyReplica;

/** Plain SGD on the mean gradient: no momentum, no clipping. */
class SgdToy extends ToyReplica {
  override apply(mean: Float32Array, { step, apply, tokens }: StepOutcome): Promise<void> {
    if (apply) {
      this.updates++;
      for (let i = 0; i < this.size; i++) this.params[i] -= 0.1 * mean[i];
    }
    this.step = step;
    this.tokens += tokens;
    return Promise.resolve();
  }
}

Deno.test("one local step of plain SGD, averaged plainly, trains as averaged gradients do", async () => {
  const averaging = { localSteps: 1, warmupSteps: 0, outer: PLAIN };
  for (const count of [1, 3]) {
    using bus = new MemoryBus();
    const gradients = new SgdToy();
    await runSingle(gradients, toyPlan({ steps: 6 }));
    const replicas = Array.from({ length: count }, () => new AveragingReplica(new SgdToy(), PLAIN));
    const changes = { steps: 6, averaging, startWorkers: count, hashEvery: 1 };
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
  const alone = rounds(), worker = rounds();
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
  const replicas = [rounds(), rounds()];
  const { events } = await runToys(() => bus.connect(), replicas, { ...plan, startWorkers: 2 });
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  const vectors = 2 * 4 * 1000;
  assert.deepEqual(
    steps.map(({ bytesSent }) => bytesSent),
    [1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1].map((averagings) => averagings * vectors),
  );
  assert.deepEqual(steps.map((step) => step.bytesReceived), steps.map((step) => step.bytesSent));
});

/** One round on paper, of the members that have a share. */
async function roundOnPaper(members: readonly AveragingReplica[], shares: readonly Range[], steps: number) {
  const { microBatches } = plan;
  const sums: GradientSum[] = [];
  for (const [i, replica] of members.entries()) {
    sums.push((await replica.localSteps({ steps, share: shares[i], microBatches })).sum);
  }
  const [{ gradient: mean }, ...others] = sums;
  for (const { gradient } of others) addInto(mean, gradient);
  const tokens = sums.reduce((sum, each) => sum + each.tokens, 0);
  divideBy(mean, tokens);
  const step = members[0].step + steps;
  for (const replica of members) {
    await replica.apply(mean, { step, apply: true, norm: NaN, tokens, localSteps: steps });
  }
}

Deno.test("who dies in a round is left out of it, wherever it dies, and its samples are dropped", async () => {
  const averaging = { localSteps: 3, warmupSteps: 0, outer: DILOCO };
  const paper = [rounds(), rounds(), rounds()];
  const [a, b, c] = assignRanges(8, [1, 1, 1]);
  await roundOnPaper(paper, [a, b, c], 3);
  await roundOnPaper([paper[0], paper[2]], [a, c], 3);
  await roundOnPaper([paper[0], paper[2]], assignRanges(8, [1, 1]), 3);
  const expected = await paper[0].hashes();
  const changes = { averaging, steps: 9, startWorkers: 3, evaluation: { every: 0, microBatches: 0 } };
  for (const point of ["before-forward", "before-upload"] as const) {
    using bus = new MemoryBus();
    const run = new ElasticRun(bus, toyPlan(changes));
    const replicas = [rounds(run.patient), rounds(run.patient), rounds(run.patient)];
    const workers = [];
    for (const [i, replica] of replicas.entries()) {
      const dies = (at: string, step: number) => {
        if (i === 1 && at === point && step >= 4) throw new Error("it dies");
      };
      workers.push(await run.start("abc"[i], replica, { onFaultPoint: dies }));
    }
    const { paramsHash } = await run.outcome;
    await Promise.all(workers.map(({ done }) => done));
    const dropped = run.events.filter(({ kind }) => kind === "dropped");
    assert.deepEqual(dropped, [{ kind: "dropped", member: "b", steps: [4, 6], microBatches: b }]);
    run.steps.forEach(({ samples, computed, step }) => {
      const isLost = step >= 4 && step <= 6;
      assert.equal(samples.includes(null), isLost, `step ${step}`);
      assert.deepEqual(Object.keys(computed), step <= 3 ? ["a", "b", "c"] : ["a", "c"]);
      samples.forEach((crc, i) => assert.equal(crc === null, isLost && b[0] <= i && i < b[1]));
    });
    assert.equal(paramsHash, expected.params, point);
    assert.deepEqual(await replicas[2].hashes(), await replicas[0].hashes());
  }
});

Deno.test("a bad number in anybody's local steps skips the round for all, moments and all", async () => {
  const averaging = { localSteps: 3, warmupSteps: 0, outer: DILOCO };
  const bad: ToyOptions = {
    alter: ({ gradient }, step, microBatch) => {
      if (step === 5 && microBatch === 6) gradient[7] = NaN;
    },
  };
  using bus = new MemoryBus();
  const replicas = [rounds(bad), rounds(bad)];
  const { events } = await runToys(() => bus.connect(), replicas, {
    ...plan,
    averaging,
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

Deno.test("who joins takes over the run's state and its donor's moments, and computes from the next round on", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, { ...plan, steps: 60, startWorkers: 2 });
  const stays = rounds(run.patient), other = rounds(run.patient), comes = rounds({ ...run.patient, seed: 9 });
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
