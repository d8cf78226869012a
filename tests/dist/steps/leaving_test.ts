/** Members that are asked to end: others continue, and the last ones stay until their state is saved. @module */

import assert from "node:assert/strict";
import { orderFor } from "../../../src/dist/state/orders.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { ElasticRun, MemoryStore, pause } from "../support/elastic_toys.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { begun, Paper } from "../support/paper.ts";
import { toyPlan, ToyReplica } from "../support/toy.ts";
import { storm } from "../support/weather.ts";

const QUIET = { steps: 9, evaluation: { every: 0, microBatches: 0 } };

/** A member says with its heartbeat that it wants to leave. */
function askToLeave(paper: Paper, member: string, step = paper.state.step) {
  return paper.do({ kind: "status", member, step, status: { phase: "ready", progress: 9, isLeaving: true } });
}

Deno.test("a member that asks to leave goes at once where another stays, which computes the rest", () => {
  const paper = begun(QUIET);
  paper.offer("a", 0, 2);
  askToLeave(paper, "b");
  assert.deepEqual([...paper.state.members.keys()], ["a"]);
  paper.offer("a", 2, 4);
  assert.equal(paper.stage, "reducing");
});

Deno.test("when all ask to leave the step is ended, saved, and then they go; the run waits for others", () => {
  const paper = begun(QUIET);
  askToLeave(paper, "a");
  askToLeave(paper, "b");
  assert.deepEqual([...paper.state.members.keys()], ["b"], "the first was let go: another stayed");
  paper.offer("b", 0, 2);
  paper.offer("b", 2, 4);
  paper.averaged();
  askToLeave(paper, "b", 1);
  assert.equal(paper.stage, "saving");
  paper.copy();
  assert.equal(paper.stage, "writing");
  assert.equal(paper.state.members.size, 1, "it stays until the checkpoint is there");
  paper.written();
  assert.equal(paper.state.members.size, 0);
  assert.equal(paper.stage, "waiting");
  assert.equal(paper.state.savedStep, 1);
  paper.do({ kind: "interrupt" });
  assert.equal(paper.stage, "ended");
});

Deno.test("a step that takes long after all members were asked to end is dropped, and its start is saved", () => {
  for (const how of ["leave", "interrupt"]) {
    const paper = begun(QUIET);
    paper.step();
    paper.do({ kind: "leave", member: "b" });
    if (how === "leave") askToLeave(paper, "a");
    else paper.do({ kind: "interrupt" });
    paper.now += 4;
    paper.do({ kind: "tick" });
    assert.equal(paper.stage, "computing");
    paper.now += 2;
    paper.do({ kind: "tick" });
    assert.equal(paper.stage, "saving", how);
    assert.equal(orderFor(paper.state, "a")?.step, 1);
  }
});

Deno.test("nothing is saved twice: a member that leaves after a checkpoint of this step goes at once", () => {
  const paper = begun({ ...QUIET, saveEvery: 1, minWorkers: 2 });
  paper.step();
  paper.copy();
  paper.written();
  assert.equal(paper.state.savedStep, 1);
  askToLeave(paper, "b");
  askToLeave(paper, "a");
  paper.now += 6;
  paper.do({ kind: "tick" }); // the open step is dropped
  assert.equal(paper.state.members.size, 0);
  assert.equal(paper.stage, "waiting");
});

Deno.test("in a run that is to end no member is released before", () => {
  const paper = begun(QUIET);
  paper.do({ kind: "interrupt" });
  askToLeave(paper, "a");
  assert.equal(paper.state.members.size, 2);
});

Deno.test("a second interrupt has the checkpoint in flight kept where it is", () => {
  const paper = new Paper({ ...QUIET, startWorkers: 1 });
  paper.join("a", { atHome: false });
  for (const [lo, hi] of [[0, 2], [2, 4]]) paper.offer("a", lo, hi);
  paper.averaged();
  paper.beat(1);
  paper.do({ kind: "interrupt" });
  paper.do({ kind: "hurry" });
  assert.equal(paper.stage, "saving", "the step is dropped at once");
  paper.copy();
  assert.ok(paper.do({ kind: "hurry" }).some((action) => action.do === "keep"));
  const [told] = paper.written({ place: "there" });
  assert.deepEqual(told, {
    do: "report",
    event: { kind: "saved", step: 1, member: "a", place: "there", elsewhere: true },
  });
});

/** Gradients take a while. */
const slow = (milliseconds = 3) => ({ beforeGradient: () => pause(milliseconds) });

Deno.test("the last worker saves before it goes, and another continues from the coordinator's folder, bit for bit", async () => {
  using bus = new MemoryBus(storm(8, { lose: 0.02, double: 0.02, delay: 0.05, damage: 0.01 }));
  const store = new MemoryStore();
  const plan = toyPlan({ steps: 12, evaluation: { every: 0, microBatches: 2 } });
  const run = new ElasticRun(bus, plan, { checkpoints: store });
  const first = await run.start("first", new ToyReplica(slow()), { atHome: false });
  await run.step(3);
  first.leave();
  assert.equal(await first.done, undefined);
  const [step] = [...store.states.keys()];
  assert.ok(step >= 3);
  const replica = new ToyReplica();
  await run.start("second", replica, { atHome: false });
  const { paramsHash } = await run.outcome;
  assert.equal(paramsHash, (await runSingle(new ToyReplica(), plan)).paramsHash);
  assert.deepEqual([...store.states.keys()].at(-1), 12, "and its last checkpoint is there, too");
});

Deno.test("workers elsewhere and the coordinator asked to end in any order: the state is in the run's folder", async () => {
  for (const order of ["workers", "coordinator", "mixed"]) {
    using bus = new MemoryBus();
    const store = new MemoryStore();
    const stop = new AbortController();
    const plan = toyPlan({ steps: 1000, evaluation: { every: 0, microBatches: 2 } });
    const run = new ElasticRun(bus, plan, { checkpoints: store, signal: stop.signal });
    const workers = [];
    for (const name of ["a", "b", "c"]) {
      workers.push(await run.start(name, new ToyReplica(slow(1)), { atHome: false }));
    }
    await run.step(2);
    if (order === "coordinator") stop.abort();
    for (const [i, worker] of workers.entries()) {
      worker.leave();
      if (order === "mixed" && i === 1) stop.abort();
    }
    if (order === "workers") {
      await Promise.all(workers.map(({ done }) => done));
      stop.abort();
    }
    const outcome = await run.outcome;
    assert.ok(outcome.interrupted);
    assert.ok(store.states.has(outcome.steps), `${order}: step ${outcome.steps} is saved`);
    assert.deepEqual(await Promise.all(workers.map(({ done }) => done)), [undefined, undefined, undefined]);
  }
});

Deno.test("a worker without answers leaves after ten heartbeats, and keeps the state that perhaps no other worker has", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, toyPlan({ steps: 1000 }));
  const replica = new ToyReplica(slow(1));
  const places: string[] = [];
  const only = await run.start("only", replica, {
    atHome: false,
    onEvent: (event) => event.kind === "kept" && places.push(event.place),
  });
  await run.step(2);
  bus.isAway = true;
  only.leave();
  assert.equal(await only.done, undefined);
  assert.deepEqual(replica.saves, [replica.step]);
  assert.deepEqual(places, [`checkpoint ${replica.step}`]);
});
