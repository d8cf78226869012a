/** @module */

import assert from "node:assert/strict";
import { randomStream } from "../../../src/prng.ts";
import { runSingle } from "../../../src/dist/single.ts";
import type { Member } from "../../../src/dist/state/participants.ts";
import { initialState, type RunState } from "../../../src/dist/state/run_state.ts";
import { cut, measured, trusted } from "../../../src/dist/steps/load_balancing.ts";
import { ElasticRun } from "../support/elastic_toys.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { toyPlan, ToyReplica } from "../support/toy.ts";
import type { Range } from "../../../src/dist/vectors/tree.ts";

function member(name: string, speed?: number): Member {
  const times = { heardAt: 0, progressAt: 0 };
  return {
    name,
    nonce: name,
    joinedGeneration: 0,
    atHome: true,
    isNear: false,
    device: "cpu",
    step: 0,
    phase: "ready",
    progress: 0,
    ...times,
    speed,
  };
}

function stateOf(speeds: Record<string, number | undefined>, lastCut: Record<string, Range> = {}): RunState {
  const members = new Map(Object.entries(speeds).map(([name, speed]) => [name, member(name, speed)]));
  return { ...initialState(toyPlan(), 1), members, lastCut };
}

Deno.test("a worker at half speed gets about half the micro-batches of another", () => {
  assert.deepEqual(cut(stateOf({ a: 2, b: 1 })), { a: [0, 6], b: [6, 8] });
  assert.deepEqual(
    cut(stateOf({ a: 1, b: 1, c: undefined })),
    cut(stateOf({ a: 1, b: 1, c: 1 })),
    "unknown is average",
  );
});

Deno.test("ranges change only where a step becomes clearly quicker", () => {
  const even = { a: [0, 4], b: [4, 8] } as const;
  assert.deepEqual(cut(stateOf({ a: 1, b: 1.2 }, even)), even);
  assert.deepEqual(cut(stateOf({ a: 1, b: 3 }, even)), { a: [0, 2], b: [2, 8] });
  assert.deepEqual(cut(stateOf({ a: 1000, b: 3000 }, even)), even, "a millisecond is no gain");
  assert.deepEqual(
    cut(stateOf({ a: 1, c: 3 }, even)),
    { a: [0, 2], c: [2, 8] },
    "other members, another cut",
  );
});

Deno.test("a cut is kept exactly where the best one gains too little", () => {
  const { word, uniform } = randomStream(1, "speeds");
  const outcomes = { kept: 0, changed: 0 };
  for (let trial = 0; trial < 300; trial++) {
    const draw = 20 * trial, names = ["a", "b", "c", "d"].slice(0, 1 + word(draw) % 4);
    const near = word(draw + 1) % 2 === 0; // as in most steps
    const speedsOf = (from: number) =>
      Object.fromEntries(names.map((name, i) => [name, 1 + (near ? 0.3 : 4) * uniform(from + i)]));
    const last = cut(stateOf(speedsOf(draw + 2))), speeds = speedsOf(draw + 10);
    const best = cut(stateOf(speeds)); // from scratch
    const seconds = (ranges: Record<string, Range>) =>
      Math.max(...names.map((name) => (ranges[name][1] - ranges[name][0]) / speeds[name]));
    const gain = seconds(last) - seconds(best);
    const isIdle = names.some((name) => last[name][0] === last[name][1] && best[name][0] < best[name][1]);
    const isClear = isIdle || (gain >= 0.2 * seconds(last) && gain >= 0.05);
    assert.deepEqual(cut(stateOf(speeds, last)), isClear ? best : last);
    outcomes[isClear ? "changed" : "kept"]++;
  }
  assert.ok(outcomes.kept > 50 && outcomes.changed > 20, JSON.stringify(outcomes));
});

Deno.test("a speed is a running mean, without the first sum, for which something may have been compiled", () => {
  const cold = measured(member("a"), 4, 100);
  assert.equal(cold.speed, undefined);
  const warm = measured(cold, 4, 2);
  assert.equal(warm.speed, 2);
  assert.equal(measured(warm, 4, 1).speed, 0.7 * 2 + 0.3 * 4);
});

Deno.test("a worker that was too slow for any micro-batch gets some again after a while", () => {
  let state = stateOf({ a: 10, b: 0.1 });
  for (let step = 0; step < 100; step++) {
    const ranges = cut(state);
    if (ranges.b[0] < ranges.b[1]) return;
    state = { ...state, members: trusted(state, ranges), lastCut: ranges };
  }
  assert.fail("it never does");
});

Deno.test("the others don't wait for a worker that is ten times slower, and the bits stay the same", async () => {
  using bus = new MemoryBus();
  const plan = toyPlan({ steps: 8, startWorkers: 3, evaluation: { every: 0, microBatches: 0 } });
  const pausing = (milliseconds: number) =>
    new ToyReplica({ beforeGradient: () => new Promise((resolve) => setTimeout(resolve, milliseconds)) });
  const run = new ElasticRun(bus, plan);
  await Promise.all([20, 20, 200].map((pause, i) => run.start(`w${i}`, pausing(pause))));
  const { paramsHash } = await run.outcome;
  assert.equal(paramsHash, (await runSingle(new ToyReplica(), plan)).paramsHash);
  const counts = run.steps.map(({ computed }) => computed.w2?.length ?? 0);
  assert.equal(counts[0], 2);
  assert.ok(counts.slice(3).every((count) => count <= 1), counts.join());
  assert.ok(run.steps.at(-1)!.seconds < 0.7 * run.steps[0].seconds);
});
