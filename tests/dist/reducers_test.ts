/** Which reducer has which parts: on paper, and with toys in this process. @module */

import assert from "node:assert/strict";
import { runReducer } from "../../src/dist/reducer.ts";
import { isReducing, workOf } from "../../src/dist/steps/reducer_set.ts";
import type { CoordinationPlan, DistEvent } from "../../src/dist/replica/plan.ts";
import { normOf } from "../../src/dist/vectors/sums.ts";
import { runSingle } from "../../src/dist/single.ts";
import { ElasticRun, pause } from "./support/elastic_toys.ts";
import { fairWeather, MemoryBus, type Weather } from "./support/memory_bus.ts";
import { Paper } from "./support/paper.ts";
import { runWithRestarts } from "./support/restarts.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import { storm } from "./support/weather.ts";
import { partsOf } from "../../src/dist/vectors/parts.ts";

const SIZE = 450_000; // 7 parts of float32
const plan = toyPlan({
  steps: 3,
  microBatches: 4,
  evaluation: { every: 0, microBatches: 0 },
  partBytes: 256 * 1024,
});

/** Two workers and reducers that have begun. */
function begunWith(reducers: string[], changes: Partial<CoordinationPlan> = {}): Paper {
  const paper = new Paper(changes);
  for (const reducer of reducers) beat(paper, reducer);
  paper.join("a");
  paper.join("b", { atHome: false });
  return paper;
}

function beat(paper: Paper, reducer: string, blocked: Record<string, number> = {}) {
  return paper.do({ kind: "reducer", reducer, term: 1, isNear: false, blockedSeconds: blocked });
}

function offerAll(paper: Paper): void {
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
}

function report(paper: Paper, reducer: string, squares: [number, number[]][], late = 0) {
  const generation = paper.state.generation - late;
  const traffic = { bytesSent: 8, bytesReceived: 4 };
  return paper.do({ kind: "reduced", reducer, generation, squares, traffic });
}

/** The reducers of the open step. */
function owners({ state: { stage } }: Paper): readonly string[] {
  assert.ok(stage.kind === "computing" || stage.kind === "reducing");
  return stage.owners;
}

/** What was told of reducers and residuals. */
function told(paper: Paper): DistEvent[] {
  return paper.actions.flatMap((action) => action.do === "report" ? action.event : [])
    .filter(({ kind }) => kind.startsWith("reducer") || kind.startsWith("residuals"));
}

Deno.test("the parts of a vector are assigned to the reducers, each once", () => {
  assert.deepEqual(partsOf(["x", "y"], "x", 5), [0, 2, 4]);
  assert.deepEqual(partsOf(["x", "y"], "y", 5), [1, 3]);
  assert.deepEqual(partsOf(["x", "y", "x"], "x", 5), [0, 2, 3]);
  assert.deepEqual(partsOf(["x", "y", "z"], "z", 2), []);
});

Deno.test("a step is committed when all reducers are done, with the norm over the parts in order", () => {
  const paper = begunWith(["x", "y"]);
  offerAll(paper);
  assert.ok(isReducing(paper.state, "x") && !isReducing(paper.state, "coordinator"));
  assert.deepEqual(workOf(paper.state)?.owners, ["x", "y"]);
  report(paper, "y", [[1, [0.1, 1e17]], [3, [1e-3]]]);
  assert.equal(paper.stage, "reducing");
  report(paper, "y", [[1, [0.1, 1e17]], [3, [1e-3]]]);
  assert.equal(paper.stage, "reducing", "the same report twice is one");
  report(paper, "x", [[2, [3.3]], [0, [0.2]]]);
  const { stage } = paper.state;
  assert.equal(stage.kind === "committing" && stage.commit.norm, normOf([0.2, 0.1, 1e17, 3.3, 1e-3]));
});

Deno.test("a reducer that is lost leaves its parts to the others in the same step, and the last one to the coordinator", () => {
  const paper = begunWith(["x", "y", "z"]);
  offerAll(paper);
  report(paper, "x", [[0, [1]]]);
  const { generation } = paper.state;
  const actions = paper.do({ kind: "leave", member: "z", error: "killed" });
  assert.ok(actions.some((action) => action.do === "reduce"));
  assert.equal(paper.state.generation, generation + 1, "what it still sends is not taken");
  assert.deepEqual(owners(paper), ["x", "y", "x"]);
  assert.ok(isReducing(paper.state, "x"), "it was done, and has more to do now");
  report(paper, "x", [[0, [1]]], 1);
  assert.ok(isReducing(paper.state, "x"), "it said so before it knew");
  paper.do({ kind: "leave", member: "x" });
  assert.deepEqual(owners(paper), ["y", "y", "y"]);
  paper.do({ kind: "leave", member: "y" });
  assert.deepEqual(owners(paper), ["coordinator", "coordinator", "coordinator"]);
  report(paper, "coordinator", [[0, [9]]]);
  assert.equal(paper.stage, "committing");
  paper.beat(1);
  assert.deepEqual(owners(paper), ["coordinator"]);
  assert.deepEqual(told(paper).filter(({ kind }) => kind === "residualsDropped"), [], "float32 has none");
});

Deno.test("what a lost reducer had finished is not done again; members that are lost change nothing in that", () => {
  const paper = begunWith(["x", "y"]);
  offerAll(paper);
  report(paper, "x", [[0, [4]]]);
  paper.do({ kind: "leave", member: "x" });
  paper.do({ kind: "leave", member: "b" });
  assert.equal(paper.stage, "computing", "reducers may lack parts of its sums");
  paper.offer("a", 2, 4);
  assert.deepEqual(owners(paper), ["x", "y"]);
  assert.ok(!isReducing(paper.state, "x"));
  report(paper, "y", [[1, [5]]]);
  const { stage } = paper.state;
  assert.equal(stage.kind === "committing" && stage.commit.norm, 3);
});

Deno.test("a run that has ended is closed when its reducers know it, too", () => {
  const paper = begunWith(["x"]);
  paper.do({ kind: "failed", error: "the coordinator has failed" });
  paper.do({ kind: "leave", member: "a" });
  assert.deepEqual(paper.do({ kind: "leave", member: "b" }), []);
  assert.deepEqual(paper.do({ kind: "tick" }), []);
  assert.deepEqual(paper.do({ kind: "leave", member: "x" }), [{ do: "end" }]);
});

Deno.test("a reducer that is silent or whose place is empty is lost; one that comes reduces from the next step on", () => {
  const paper = begunWith(["x", "y"], { patienceSeconds: 1, silenceSeconds: 10 });
  offerAll(paper);
  paper.now = 8.5;
  beat(paper, "y");
  paper.beat(0);
  paper.now = 9;
  paper.do({ kind: "tick" });
  assert.deepEqual(owners(paper), ["y", "y"]);
  paper.do({ kind: "probed", name: "y", there: false, askedAt: paper.now });
  paper.now = 10;
  paper.beat(0);
  paper.do({ kind: "tick" });
  assert.deepEqual(owners(paper), ["coordinator", "coordinator"]);
  beat(paper, "x");
  assert.equal(
    paper.state.reducers.get("x")?.joinedGeneration,
    paper.state.generation,
    "what it had in hand is void",
  );
  assert.deepEqual(owners(paper), ["coordinator", "coordinator"]);
  paper.averaged();
  paper.beat(1);
  assert.deepEqual(owners(paper), ["x"]);
  assert.deepEqual(told(paper).slice(2), [
    { kind: "reducerLeft", reducer: "x", reducers: 1, error: "no heartbeat came from it for 1 s" },
    {
      kind: "reducerLeft",
      reducer: "y",
      reducers: 0,
      error: "its connection has ended, its process is probably dead",
    },
    { kind: "reducerJoined", reducer: "x", reducers: 1 },
  ]);
});

Deno.test("a member that keeps a reducer waiting for too long is lost", () => {
  const paper = begunWith(["x"], { patienceSeconds: 1 });
  offerAll(paper);
  paper.now = 20;
  paper.do({ kind: "deaf", isCutOff: false }); // no member was silent
  paper.now = 400;
  beat(paper, "x", { b: 375 });
  paper.beat(0);
  paper.do({ kind: "tick" });
  assert.deepEqual([...paper.state.members.keys()], ["a"]);
});

Deno.test("a reducer that is alive and stalled is lost, and not the members that seem to keep it waiting", () => {
  const stuck = (blocked: Record<string, number>) => {
    const paper = begunWith(["x", "y"], { patienceSeconds: 1 });
    beat(paper, "x"); // nothing to be done yet
    paper.now = 50;
    offerAll(paper);
    for (paper.now = 60; paper.now < 400; paper.now += 10) beat(paper, "x", blocked);
    beat(paper, "x", blocked);
    beat(paper, "y", { a: 1 });
    paper.beat(0);
    paper.do({ kind: "tick" });
    const left = told(paper).flatMap((event) =>
      event.kind === "reducerLeft" ? [event.reducer, event.error] : []
    );
    return [...left, ...paper.state.members.keys()];
  };
  assert.deepEqual(stuck({}), [
    "x",
    "it has not finished for 100 s though no member keeps it waiting",
    "a",
    "b",
  ]);
  assert.deepEqual(stuck({ a: 350, b: 340 }), [
    ...["x", "no message from a member has reached it for 100 s"],
    ...["a", "b"],
  ]);
  assert.deepEqual(stuck({ a: 10, b: 340 }), ["a"], "what a sends reaches it");
  assert.deepEqual(stuck({ a: 10 }), ["a", "b"]);

  const quick = begunWith(["x"], { patienceSeconds: 1 });
  for (let step = 0; step < 5; step++) {
    offerAll(quick);
    quick.now += 90;
    beat(quick, "x"); // it has just finished
    quick.beat(step);
    quick.do({ kind: "tick" });
    report(quick, "x", [[0, [1]], [1, [1]]]);
    quick.beat(step + 1);
  }
  assert.deepEqual([...quick.state.reducers.keys()], ["x"], "no step took long");
});

Deno.test("with error feedback dropped residuals are reported, and candidates restart where bytes could differ", () => {
  const paper = begunWith(["x", "y"], { codec: "int8", evaluation: { every: 0, microBatches: 0 } });
  offerAll(paper);
  paper.join("c", {}, 0);
  report(paper, "x", [[0, [1]]]);
  report(paper, "y", [[1, [1]]]);
  paper.beat(1);
  paper.do({ kind: "pinned", member: "b", step: 1 });
  paper.do({ kind: "restored", member: "c", step: 1 });
  assert.ok(paper.state.candidates.get("c")!.ready);
  offerAll(paper);
  paper.do({ kind: "leave", member: "y" });
  assert.ok(!paper.state.candidates.get("c")!.ready);
  beat(paper, "z");
  report(paper, "x", [[0, [1]], [1, [1]]]);
  paper.beat(2);
  paper.do({ kind: "pinned", member: "b", step: 2 });
  assert.deepEqual(told(paper).filter(({ kind }) => kind === "residualsDropped"), [
    { kind: "residualsDropped", holder: "y", reason: "it left" },
    { kind: "residualsDropped", holder: "the mean", reason: "its parts are assigned to x, z" },
  ]);
});

/** A run with so many workers and reducers, that are there before it begins. */
async function runWith(
  { workers, reducers, codec = "float32", weather = fairWeather }: {
    workers: number;
    reducers: number;
    codec?: CoordinationPlan["codec"];
    weather?: Weather;
  },
) {
  using bus = new MemoryBus(weather);
  const run = new ElasticRun(bus, { ...plan, codec, startWorkers: workers, minWorkers: workers });
  const reducing = await run.startReducers(reducers);
  const toys = Array.from({ length: workers }, () => new ToyReplica({ size: SIZE }));
  const working = await Promise.all(toys.map((toy, i) => run.start(`worker-${i}`, toy)));
  const outcome = await run.outcome;
  await Promise.all([...reducing, ...working.map(({ done }) => done)]);
  const hashes = await Promise.all(toys.map((toy) => toy.hashes()));
  assert.equal(new Set(hashes.map(({ state }) => state)).size, 1, "replicas are equal");
  const norms = run.events.flatMap((event) => event.kind === "step" ? event.committed.gradNorm : []);
  return { outcome, norms };
}

Deno.test("1, 2 and 3 reducers with 1, 2 and 4 workers: the bits and the norms of a single process", async () => {
  const norms: number[] = [];
  const alone = await runSingle(new ToyReplica({ size: SIZE }), plan, {
    onEvent: (event) => event.kind === "step" && norms.push(event.committed.gradNorm),
  });
  for (const reducers of [1, 2, 3]) {
    for (const workers of [1, 2, 4]) {
      const run = await runWith({ workers, reducers });
      assert.equal(run.outcome.paramsHash, alone.paramsHash, `${reducers} reducers, ${workers} workers`);
      assert.deepEqual(run.norms, norms);
    }
  }
});

Deno.test("messages of reducers that are lost, doubled, delayed and damaged change nothing", async () => {
  const { paramsHash } = await runSingle(new ToyReplica({ size: SIZE }), plan);
  const weather = storm(3, { lose: 0.1, double: 0.1, delay: 0.3, damage: 0.05 });
  assert.equal((await runWith({ workers: 2, reducers: 2, weather })).outcome.paramsHash, paramsHash);
});

Deno.test("int8 with its residuals gives the same bits with one and with three reducers", async () => {
  const [one, three] = [
    await runWith({ workers: 2, reducers: 0, codec: "int8" }),
    await runWith({ workers: 2, reducers: 3, codec: "int8" }),
  ];
  assert.equal(three.outcome.paramsHash, one.outcome.paramsHash);
  assert.deepEqual(three.norms, one.norms);
});

Deno.test("after a failover reducers work for the new coordinator, too", async () => {
  const toys = [0, 1].map(() => new ToyReplica({ size: SIZE }));
  const longer = { ...plan, steps: 8, startWorkers: 2, minWorkers: 2 };
  const { paramsHash } = await runSingle(new ToyReplica({ size: SIZE }), longer);
  using bus = new MemoryBus();
  const running = runWithRestarts(bus, toys, longer, [
    { point: "before-commit", step: 3 },
    { point: "after-commit", step: 5 },
  ]);
  await pause(20);
  const reducing = ["x", "y"].map((reducer) => runReducer(bus.connect(), { run: plan.run, reducer }));
  const run = await running;
  await Promise.all(reducing);
  assert.equal(run.outcome.paramsHash, paramsHash);
  const joined = run.events.flatMap((event) => event.kind === "reducerJoined" ? event.reducer : []);
  assert.deepEqual(joined.sort(), ["x", "x", "x", "y", "y", "y"], "each coordinator takes them on");
});
