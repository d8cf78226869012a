/** Runs that average parameters in rounds of local steps. @module */

import assert from "node:assert/strict";
import { AveragingReplica } from "../../src/dist/averaging_replica.ts";
import type { Range } from "../../src/dist/messages.ts";
import { addInto, divideBy } from "../../src/dist/reduction.ts";
import { type Action, orderOf } from "../../src/dist/run_state.ts";
import { runSingle } from "../../src/dist/single.ts";
import type { GradientSum, StepOutcome } from "../../src/dist/replica.ts";
import { assignRanges } from "../../src/dist/tree.ts";
import { ElasticRun } from "./elastic_toys.ts";
import { fairWeather, MemoryBus } from "./memory_bus.ts";
import { Paper } from "./paper.ts";
import { runWithRestarts } from "./restarts.ts";
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
  const size = 70_000, partBytes = 256 * 1024; // 2 parts
  const paper = [rounds({ size }), rounds({ size }), rounds({ size })];
  const [a, b, c] = assignRanges(8, [1, 1, 1]);
  await roundOnPaper(paper, [a, b, c], 3);
  await roundOnPaper([paper[0], paper[2]], [a, c], 3);
  await roundOnPaper([paper[0], paper[2]], assignRanges(8, [1, 1]), 3);
  const expected = await paper[0].hashes();
  const changes = {
    averaging,
    partBytes,
    steps: 9,
    startWorkers: 3,
    evaluation: { every: 0, microBatches: 0 },
  };
  const stormy = storm(7, { lose: 0.05, double: 0.1, delay: 0.2, damage: 0.02 });
  const cases = [
    ["before-forward", fairWeather],
    ["before-upload", fairWeather],
    ["mid-upload", fairWeather],
    ["mid-upload", stormy],
  ] as const;
  for (const [point, weather] of cases) {
    using bus = new MemoryBus(weather);
    const run = new ElasticRun(bus, toyPlan({ ...changes, heartbeatSeconds: 0.05 }));
    const replicas = [rounds({ size }), rounds({ size }), rounds({ size })];
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

Deno.test("a round that was sent before its member died counts", async () => {
  const averaging = { localSteps: 3, warmupSteps: 0, outer: DILOCO };
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, toyPlan({ averaging, steps: 6, startWorkers: 2 }));
  const dies = (point: string) => {
    if (point === "after-upload") throw new Error("it dies");
  };
  const lives = rounds();
  const workers = [await run.start("a", lives), await run.start("b", rounds(), { onFaultPoint: dies })];
  const { paramsHash } = await run.outcome;
  await Promise.all(workers.map(({ done }) => done));
  const paper = [rounds(), rounds()];
  await roundOnPaper(paper, assignRanges(8, [1, 1]), 3);
  await roundOnPaper([paper[0]], [[0, 8]], 3);
  assert.equal(paramsHash, (await paper[0].hashes()).params);
  assert.ok(run.steps.every(({ samples }) => !samples.includes(null)));
  assert.deepEqual(Object.keys(run.steps[2].computed), ["a", "b"]);
});

/** A round of four members on paper: a, b and c have a leaf each, four are more than there are micro-batches. */
function roundOfFour(): Paper {
  const averaging = { localSteps: 2, warmupSteps: 0, outer: DILOCO };
  const paper = new Paper({ averaging, steps: 20, microBatches: 3, startWorkers: 4 });
  for (const member of "abcd") paper.join(member);
  return paper;
}

/** A member's leaf, with a report for its micro-batch in both steps. */
function offer(paper: Paper, member: string, leaf: number, finite = true) {
  const reports = [0, 1].map((step) => ({ crc: 10 * step + leaf, lossSum: 6, tokens: 3, finite }));
  return paper.do({
    kind: "offer",
    member,
    step: paper.state.step + 1,
    lo: leaf,
    hi: leaf + 1,
    reports,
    seconds: 1,
  });
}

const averageOf = (actions: Action[]) =>
  actions.find((action) => action.do === "average")?.sums.map(({ member }) => member);
const droppedIn = (actions: Action[]) =>
  actions.flatMap((action) =>
    action.do === "report" && action.event.kind === "dropped" ? [action.event.member] : []
  );

Deno.test("a round waits for nobody who is lost, and asks nobody who is gone for its sum again", () => {
  const paper = roundOfFour();
  const round = { localSteps: 2, shares: { a: [0, 1], b: [1, 2], c: [2, 3], d: [3, 3] } };
  const ranges = { a: [[0, 1]], b: [[1, 2]], c: [[2, 3]], d: [] };
  assert.deepEqual(orderOf(paper.state), { kind: "assign", step: 1, message: { ranges, round } });
  offer(paper, "a", 0);
  assert.equal(averageOf(offer(paper, "b", 0)), undefined, "the leaf of another one");
  offer(paper, "b", 1);
  assert.deepEqual(averageOf(paper.do({ kind: "leave", member: "c" })), ["a", "b"]);
  paper.do({ kind: "leave", member: "d" });
  assert.equal(paper.stage, "averaging");
  const report = paper.do({ kind: "averaged", norm: 1 }).find((action) => action.do === "report");
  assert.ok(report?.event.kind === "step");
  assert.deepEqual(report.event.committed.samples, [0, 1, null]);
  assert.deepEqual(report.event.committed.round, [1, 2]);
  const commit = orderOf(paper.state);
  assert.ok(commit?.kind === "commit");
  assert.deepEqual(commit.message.round, { localSteps: 2, attempt: { lo: 1, hi: 2 } });
  paper.beat(1);
  assert.equal(paper.stage, "committing", "local steps are no end of the round");
  paper.beat(2);
  assert.equal(paper.state.step, 2);

  const again = roundOfFour();
  "abc".split("").forEach((member, leaf) => offer(again, member, leaf));
  again.do({ kind: "pulled", lo: 0, hi: 1 });
  const kept = again.do({ kind: "leave", member: "a" });
  assert.deepEqual([droppedIn(kept), averageOf(kept)], [[], undefined]);
  const without = again.do({ kind: "leave", member: "b" });
  assert.deepEqual(droppedIn(without).sort(), ["a", "b"]);
  assert.deepEqual(averageOf(without), ["c"]);
});

Deno.test("a round that nobody is left of is skipped, and one with a bad number names its micro-batch", () => {
  const paper = roundOfFour();
  for (const member of "abc") paper.do({ kind: "leave", member });
  assert.equal(paper.stage, "committing");
  assert.ok(paper.state.stage.kind === "committing" && !paper.state.stage.commit.apply);
  const bad = roundOfFour();
  offer(bad, "a", 0);
  offer(bad, "b", 1, false);
  offer(bad, "c", 2);
  assert.match(bad.state.skipReason!, /micro-batch 1, computed by b, is not finite/);
  assert.equal(bad.state.skips, 1);
});

Deno.test("a coordinator that dies in a round is replaced: the round is the same, and nobody takes its steps again", async () => {
  const averaging = { localSteps: 3, warmupSteps: 1, outer: DILOCO };
  const changes = {
    averaging,
    steps: 9,
    evaluation: { every: 4, microBatches: 5 },
    startWorkers: 2,
    minWorkers: 2,
  };
  const calm = [rounds(), rounds()];
  using bus = new MemoryBus();
  const { outcome } = await runToys(() => bus.connect(), calm, toyPlan(changes));
  for (const point of ["before-commit", "after-commit"] as const) {
    const replicas = [rounds(), rounds()];
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

Deno.test("a run that goes on with the same members ends as if it had not stopped; a newcomer has the first one's moments", async () => {
  const averaging = { localSteps: 3, warmupSteps: 2, outer: DILOCO };
  const changes = { averaging, steps: 11, startWorkers: 2, minWorkers: 2 };
  using bus = new MemoryBus();
  const whole = [rounds(), rounds()], parts = [rounds(), rounds()];
  const { outcome } = await runToys(() => bus.connect(), whole, toyPlan({ ...changes, run: "whole" }));
  await runToys(() => bus.connect(), parts, toyPlan({ ...changes, run: "first", steps: 5 }));
  const resumed = [rounds({ seed: 5 }), rounds({ seed: 6 })];
  for (const [i, replica] of resumed.entries()) await replica.restore(await parts[i].state());
  const second = await runToys(
    () => bus.connect(),
    resumed,
    toyPlan({ ...changes, run: "second", startStep: 5 }),
  );
  assert.equal(second.outcome.paramsHash, outcome.paramsHash);
  for (const i of [0, 1]) assert.deepEqual(await resumed[i].state(), await whole[i].state());

  const others = [rounds(), rounds()];
  for (const replica of others) await replica.restore(await parts[0].state());
  const third = await runToys(
    () => bus.connect(),
    others,
    toyPlan({ ...changes, run: "third", startStep: 5 }),
  );
  assert.notEqual(third.outcome.paramsHash, outcome.paramsHash);
  assert.deepEqual(await others[0].hashes(), await others[1].hashes());
});

Deno.test("every member copies its moments for a checkpoint; one that can't write them is told of", async () => {
  using bus = new MemoryBus();
  const replicas = [rounds(), rounds(), rounds()];
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
  const told = events.filter(({ kind }) => kind === "momentsUnsaved");
  assert.deepEqual(told[0], { kind: "momentsUnsaved", member: "worker-2", step: 5, error: "no space" });
});

Deno.test("a lossy codec leaves all replicas equal in rounds, too, though members come and go", async () => {
  using bus = new MemoryBus();
  const size = 200_000; // 2 parts
  const run = new ElasticRun(
    bus,
    toyPlan({
      averaging,
      codec: "int8",
      partBytes: 256 * 1024,
      microBatches: 4,
      steps: 26,
      startWorkers: 3,
      hashEvery: 1,
    }),
  );
  const toy = () => rounds({ size, ...run.patient });
  const stays = toy(), comes = toy();
  const workers = [
    await run.start("stays", stays),
    await run.start("other", toy()),
    await run.start("dies", toy(), {
      onFaultPoint: (point, step) => {
        if (point === "mid-upload" && step > 5) throw new Error("it dies");
      },
    }),
  ];
  await run.until(({ kind }) => kind === "dropped");
  workers.push(await run.start("comes", comes));
  await run.joined("comes");
  await run.outcome;
  const errors = await Promise.all(workers.map(({ done }) => done));
  assert.deepEqual(errors.map((error) => error?.message), [undefined, undefined, "it dies", undefined]);
  assert.deepEqual(await comes.hashes(), await stays.hashes());
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
