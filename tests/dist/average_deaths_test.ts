/** Members of a run that averages parameters die, at any point of a round. @module */

import assert from "node:assert/strict";
import { workOf } from "../../src/dist/steps/reducer_set.ts";
import { checksumOfNames } from "../../src/dist/protocol/checksums.ts";
import { orderFor } from "../../src/dist/state/orders.ts";
import type { Action } from "../../src/dist/state/run_state.ts";
import { assignRanges } from "../../src/dist/vectors/tree.ts";
import { averagingToy, DILOCO, roundOnPaper } from "./support/average_toys.ts";
import { ElasticRun } from "./support/elastic_toys.ts";
import { fairWeather, MemoryBus } from "./support/memory_bus.ts";
import { Paper } from "./support/paper.ts";
import { toyPlan } from "./support/toy.ts";
import { storm } from "./support/weather.ts";

const diloco = { localSteps: 3, warmupSteps: 0, outer: DILOCO };

Deno.test("a member that dies in a round is left out of it, wherever it dies, and its samples are dropped", async () => {
  const size = 70_000, partBytes = 256 * 1024; // 2 parts
  const paper = [averagingToy({ size }), averagingToy({ size }), averagingToy({ size })];
  const [a, b, c] = assignRanges(8, [1, 1, 1]);
  await roundOnPaper(paper, [a, b, c], 3);
  await roundOnPaper([paper[0], paper[2]], [a, c], 3);
  await roundOnPaper([paper[0], paper[2]], assignRanges(8, [1, 1]), 3);
  const expected = await paper[0].hashes();
  const changes = {
    diloco,
    partBytes,
    steps: 9,
    startWorkers: 3,
    evaluation: { every: 0, microBatches: 0 },
  };
  const stormy = storm(7, { lose: 0.05, double: 0.1, delay: 0.2, damage: 0.02 });
  const cases = [
    ["before-forward", fairWeather, 0],
    ["before-upload", fairWeather, 0],
    ["mid-upload", fairWeather, 0],
    ["mid-upload", stormy, 0],
    ["mid-upload", fairWeather, 2],
    ["mid-upload", stormy, 2],
  ] as const;
  for (const [point, weather, reducers] of cases) {
    using bus = new MemoryBus(weather);
    const run = new ElasticRun(bus, toyPlan({ ...changes, heartbeatSeconds: 0.05 }));
    const reducing = await run.startReducers(reducers);
    const replicas = [averagingToy({ size }), averagingToy({ size }), averagingToy({ size })];
    const workers = [];
    for (const [i, replica] of replicas.entries()) {
      const dies = (at: string, step: number) => {
        if (i === 1 && at === point && step >= 4) throw new Error("it dies");
      };
      workers.push(await run.start("abc"[i], replica, { onFaultPoint: dies }));
    }
    const { paramsHash } = await run.outcome;
    await Promise.all([...reducing, ...workers.map(({ done }) => done)]);
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
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, toyPlan({ diloco, steps: 6, startWorkers: 2 }));
  const dies = (point: string) => {
    if (point === "after-upload") throw new Error("it dies");
  };
  const lives = averagingToy();
  const workers = [await run.start("a", lives), await run.start("b", averagingToy(), { onFaultPoint: dies })];
  const { paramsHash } = await run.outcome;
  await Promise.all(workers.map(({ done }) => done));
  const paper = [averagingToy(), averagingToy()];
  await roundOnPaper(paper, assignRanges(8, [1, 1]), 3);
  await roundOnPaper([paper[0]], [[0, 8]], 3);
  assert.equal(paramsHash, (await paper[0].hashes()).params);
  assert.ok(run.steps.every(({ samples }) => !samples.includes(null)));
  assert.deepEqual(Object.keys(run.steps[2].computed), ["a", "b"]);
});

/** A round of four members on paper: a, b and c have a leaf each, four are more than there are micro-batches. */
function roundOfFour(): Paper {
  const diloco = { localSteps: 2, warmupSteps: 0, outer: DILOCO };
  const paper = new Paper({ diloco, steps: 20, microBatches: 3, startWorkers: 4 });
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

/** Whose sums are averaged from now on; undefined where these actions don't begin anything. */
const averageOf = (paper: Paper, actions: Action[]) =>
  actions.some((action) => action.do === "reduce")
    ? workOf(paper.state)?.sums.map(({ member }) => member)
    : undefined;
const droppedIn = (actions: Action[]) =>
  actions.flatMap((action) =>
    action.do === "report" && action.event.kind === "dropped" ? [action.event.member] : []
  );

Deno.test("a round does not wait for lost members, and does not ask them for their sums again", () => {
  const paper = roundOfFour();
  const members = checksumOfNames(["a", "b", "c", "d"]);
  const shares = { a: [0, 1], b: [1, 2], c: [2, 3], d: [3, 3] };
  for (const [name, share] of Object.entries(shares)) {
    const message = { ranges: name === "d" ? [] : [share], round: { localSteps: 2, share }, members };
    assert.deepEqual(orderFor(paper.state, name), { kind: "assign", step: 1, message });
  }
  offer(paper, "a", 0);
  assert.equal(averageOf(paper, offer(paper, "b", 0)), undefined, "the leaf of another one");
  offer(paper, "b", 1);
  assert.deepEqual(averageOf(paper, paper.do({ kind: "leave", member: "c" })), ["a", "b"]);
  paper.do({ kind: "leave", member: "d" });
  assert.equal(paper.stage, "reducing");
  const report = paper.averaged().find((action) => action.do === "report");
  assert.ok(report?.event.kind === "step");
  assert.deepEqual(report.event.committed.samples, [0, 1, null]);
  assert.deepEqual(report.event.committed.round, [1, 2]);
  const commit = orderFor(paper.state, "a");
  assert.ok(commit?.kind === "commit");
  assert.deepEqual(commit.message.round, { localSteps: 2, attempt: { openedIn: 1, leaves: 2 } });
  paper.beat(1);
  assert.equal(paper.stage, "committing", "local steps are no end of the round");
  paper.beat(2);
  assert.equal(paper.state.step, 2);

  const again = roundOfFour();
  "abc".split("").forEach((member, leaf) => offer(again, member, leaf));
  again.do({ kind: "pulled", lo: 0, hi: 1 });
  const kept = again.do({ kind: "leave", member: "a" });
  assert.deepEqual([droppedIn(kept), averageOf(again, kept)], [[], ["a", "b", "c"]]);
  const without = again.do({ kind: "leave", member: "b" });
  assert.deepEqual(droppedIn(without).sort(), ["a", "b"]);
  assert.deepEqual(averageOf(again, without), ["c"]);
});

Deno.test("a round without any member left is skipped, and one with a bad number names its micro-batch", () => {
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

Deno.test("a lossy codec leaves all replicas equal in rounds, too, though members come and go", async () => {
  using bus = new MemoryBus();
  const size = 200_000; // 2 parts
  const run = new ElasticRun(
    bus,
    toyPlan({
      diloco,
      codec: "int8",
      partBytes: 256 * 1024,
      microBatches: 4,
      steps: 26,
      startWorkers: 3,
      hashEvery: 1,
    }),
  );
  const toy = () => averagingToy({ size, ...run.patient });
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
