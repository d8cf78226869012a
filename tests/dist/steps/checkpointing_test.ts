/** @module */

import assert from "node:assert/strict";
import { whatComesNext } from "../../../src/dist/steps/between_steps.ts";
import type { DistEvent } from "../../../src/dist/replica/plan.ts";
import { isAwaited, orderFor } from "../../../src/dist/state/orders.ts";
import type { Action } from "../../../src/dist/state/run_state.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { begun, Paper } from "../support/paper.ts";
import { runToys } from "../support/run_toys.ts";
import { toyPlan, ToyReplica } from "../support/toy.ts";
import { storm } from "../support/weather.ts";

/** Checkpoints and nothing else. */
const SAVING = { steps: 9, saveEvery: 1, evaluation: { every: 0, microBatches: 0 } };

/** What was told of checkpoints. */
function toldOf(actions: Action[]): DistEvent[] {
  return actions.flatMap((action) =>
    action.do === "report" && ["saved", "unsaved"].includes(action.event.kind) ? [action.event] : []
  );
}

/** What is told of a checkpoint that a toy has saved. */
const savedBy = (member: string, step: number): DistEvent => ({
  kind: "saved",
  step,
  member,
  place: `checkpoint ${step}`,
});

const writerOf = ({ state }: Paper) => state.stage.kind === "saving" ? state.stage.writer : undefined;
const errorOf = ({ state }: Paper) => state.stage.kind === "ended" ? state.stage.error : undefined;

Deno.test("a member at home writes the checkpoints, and where none is there, the first of the others", () => {
  const chosen = (...atHome: boolean[]) => {
    const paper = new Paper();
    atHome.forEach((home, i) => paper.join("ab"[i], { atHome: home }));
    paper.state = whatComesNext({ ...paper.state, duties: ["save"] }, 0).state;
    paper.compare();
    return writerOf(paper);
  };
  assert.equal(chosen(false, true), "b");
  assert.equal(chosen(true, true), "a");
  assert.equal(chosen(false, false), "a");
});

Deno.test("training continues while a checkpoint is written, and the next checkpoint waits for it", () => {
  const paper = begun(SAVING);
  paper.step();
  paper.copy();
  assert.equal(paper.stage, "computing");
  paper.step();
  assert.equal(paper.stage, "writing");
  assert.deepEqual(orderFor(paper.state, "a"), {
    kind: "save",
    step: 1,
    message: { writer: "a", copying: [], members: ["a", "b"], appliedStep: 2 },
  });
  assert.deepEqual(
    [...paper.state.members.values()].filter((member) => isAwaited(paper.state, member)).map(({ name }) =>
      name
    ),
    ["a"],
  );
  assert.deepEqual(toldOf(paper.written()), [{ kind: "saved", step: 1, member: "a", place: "here" }]);
  paper.copy();
  assert.deepEqual(paper.state.writing, { member: "a", step: 2, by: "member" });
});

Deno.test("the run does not end before its last checkpoint is complete", () => {
  const paper = begun({ ...SAVING, steps: 1 });
  paper.step();
  paper.copy();
  assert.equal(paper.stage, "writing");
  paper.written();
  paper.compare();
  assert.equal(paper.stage, "ended");
  assert.equal(errorOf(paper), undefined);
});

Deno.test("a member in the minority writes no checkpoint", () => {
  const paper = begun({ ...SAVING, startWorkers: 3 });
  paper.join("c", { atHome: false });
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 3);
  paper.offer("c", 3, 4);
  paper.averaged();
  paper.beat(1);
  const actions = paper.compare({ a: "other" });
  assert.match(JSON.stringify(actions), /"left","member":"a".*not that of the majority/);
  assert.equal(writerOf(paper), "b");
});

Deno.test("states of which none has a majority are not saved", () => {
  const paper = begun(SAVING);
  paper.step();
  const actions = paper.compare({ a: "other" });
  assert.match(errorOf(paper)!, /the replicas differ after step 1/);
  assert.ok(!JSON.stringify(actions).includes("save"));
});

Deno.test("a checkpoint whose writer is lost before it has copied its state is written by another member", () => {
  const paper = begun(SAVING);
  paper.step();
  paper.compare();
  paper.do({ kind: "leave", member: "a", error: "lost" });
  assert.equal(writerOf(paper), "b");
  paper.copy();
  assert.equal(paper.state.writing?.by, "coordinator");
  const told = paper.written({ place: "here" });
  assert.deepEqual(toldOf(told), [{ kind: "saved", step: 1, member: "b", place: "here" }]);
});

Deno.test("a checkpoint that is lost with its writer is replaced: at the next step, or at the end by another member", () => {
  const during = begun({ ...SAVING, saveEvery: 4 });
  for (let step = 1; step <= 4; step++) during.step();
  during.copy();
  during.do({ kind: "leave", member: "a", error: "lost" });
  during.offer("b", 0, 2);
  during.offer("b", 2, 4);
  during.averaged();
  during.beat(5);
  assert.equal(writerOf(during), "b");
  during.copy();
  during.written();
  during.offer("b", 0, 4);
  during.averaged();
  during.beat(6);
  assert.equal(during.stage, "computing", "once is enough");

  const last = begun({ ...SAVING, steps: 1 });
  last.step();
  last.copy();
  last.do({ kind: "leave", member: "a", error: "lost" });
  assert.equal(writerOf(last), "b");
});

Deno.test("a checkpoint that can't be written is reported, and removes no member; the run continues", () => {
  for (const isWaitedFor of [false, true]) {
    const paper = begun(SAVING);
    paper.step();
    paper.copy();
    if (isWaitedFor) paper.step();
    const actions = paper.written({ error: "no space" });
    assert.deepEqual(toldOf(actions), [{ kind: "unsaved", step: 1, error: "no space" }]);
    assert.equal(paper.stage, isWaitedFor ? "hashing" : "computing");
    assert.equal(paper.state.members.size, 2);
  }
});

Deno.test("a run whose last checkpoint can't be written ends with an error", () => {
  const paper = begun({ ...SAVING, steps: 1 });
  paper.step();
  paper.copy();
  paper.written({ error: "no space" });
  assert.match(errorOf(paper)!, /the state after step 1, the last, is lost: no space/);
});

Deno.test("what is told of a checkpoint twice, by another member, or of another step counts once", () => {
  const paper = begun(SAVING);
  paper.step();
  paper.copy();
  const result = { place: "here" };
  assert.deepEqual(toldOf(paper.do({ kind: "saved", member: "b", step: 1, result })), []);
  assert.deepEqual(toldOf(paper.do({ kind: "saved", member: "a", step: 0, result })), []);
  assert.equal(toldOf(paper.do({ kind: "saved", member: "a", step: 1, result })).length, 1);
  assert.deepEqual(toldOf(paper.do({ kind: "saved", member: "a", step: 1, result })), []);
});

/** A toy that saves with a function. */
class Saver extends ToyReplica {
  constructor(readonly write: (step: number) => Promise<void>) {
    super();
  }

  override async save(state: Parameters<ToyReplica["save"]>[0]): Promise<string> {
    await this.write(state.step);
    return await super.save(state);
  }
}

Deno.test("workers train on while one of them writes a checkpoint, though messages are lost", async () => {
  using bus = new MemoryBus(storm(8, { lose: 0.05, double: 0.05, delay: 0.05, damage: 0.01 }));
  const fourth = Promise.withResolvers<void>();
  const writer = new Saver((step) => step === 2 ? fourth.promise : Promise.resolve());
  const other = new ToyReplica({ beforeApply: (step) => step === 4 ? fourth.resolve() : undefined });
  const plan = toyPlan({ steps: 6, saveEvery: 2, startWorkers: 2 });
  const { events } = await runToys(() => bus.connect(), [writer, other], plan);
  assert.deepEqual(writer.saves, [2, 4, 6]);
  assert.deepEqual(other.saves, []);
  const told = events.filter(({ kind }) => kind === "saved");
  assert.deepEqual(told, [2, 4, 6].map((step) => savedBy("worker-0", step)));
});

Deno.test("a worker that can't write a checkpoint stays in the run, and writes the next one", async () => {
  using bus = new MemoryBus();
  const disk = (step: number) => step === 2 ? Promise.reject(new Error("no space")) : Promise.resolve();
  const plan = toyPlan({ steps: 6, saveEvery: 2, startWorkers: 2 });
  const writer = new Saver(disk), alone = new Saver(disk);
  const { outcome, events } = await runToys(() => bus.connect(), [writer, new ToyReplica()], plan);
  const aloneEvents: DistEvent[] = [];
  const expected = await runSingle(alone, plan, { onEvent: (event) => aloneEvents.push(event) });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  for (
    const [{ saves }, all, member] of [[writer, events, "worker-0"], [alone, aloneEvents, "single"]] as const
  ) {
    assert.deepEqual(saves, [4, 6]);
    const told = all.filter(({ kind }) => ["saved", "unsaved"].includes(kind));
    assert.deepEqual(told, [
      { kind: "unsaved", step: 2, error: "no space" },
      savedBy(member, 4),
      savedBy(member, 6),
    ]);
  }
});

Deno.test("a run whose last checkpoint can't be written fails, with workers and without", async () => {
  using bus = new MemoryBus();
  const full = () => new Saver(() => Promise.reject(new Error("no space")));
  const words = /RunError: the state after step 4, the last, is lost: no space/;
  await assert.rejects(runSingle(full(), toyPlan()), words);
  await assert.rejects(runToys(() => bus.connect(), [full()], toyPlan()), words);
});

Deno.test("a checkpoint of a member elsewhere is collected for the state that the members agreed on", () => {
  const paper = new Paper({ ...SAVING, startWorkers: 2 });
  for (const name of ["a", "b"]) paper.join(name, { atHome: false });
  paper.step();
  paper.compare();
  paper.do({ kind: "copied", member: "a", step: 1 });
  const collect = paper.actions.findLast((action) => action.do === "collect");
  assert.deepEqual(collect, { do: "collect", member: "a", step: 1, stateHash: "s" });
  assert.equal(paper.stage, "computing", "the step does not wait for it");
  paper.step();
  assert.equal(paper.stage, "writing", "the next checkpoint does");
  const members = [...paper.state.members.values()];
  assert.ok(!members.some((member) => isAwaited(paper.state, member)), "no member is to do anything for it");
  assert.deepEqual(toldOf(paper.written()), [{ kind: "saved", step: 1, member: "a", place: "here" }]);
});

Deno.test("what another member says of a checkpoint that is collected counts for nothing", () => {
  const paper = new Paper(SAVING);
  for (const name of ["a", "b"]) paper.join(name, { atHome: false });
  paper.step();
  paper.copy();
  for (const member of ["a", "b"]) {
    assert.deepEqual(toldOf(paper.do({ kind: "saved", member, step: 1, result: { place: "mine" } })), []);
  }
  assert.equal(paper.state.writing?.by, "coordinator");
});

Deno.test("a checkpoint that can't be collected is kept by the member that has it, and the record says where", () => {
  const paper = new Paper({ ...SAVING, steps: 1 });
  for (const name of ["a", "b"]) paper.join(name, { atHome: false });
  paper.step();
  paper.copy();
  assert.equal(paper.stage, "writing");
  const actions = paper.written({ error: "no space" });
  assert.deepEqual(toldOf(actions), [{ kind: "unsaved", step: 1, error: "no space" }]);
  assert.ok(actions.some((action) => action.do === "keep"));
  const order = orderFor(paper.state, "a");
  assert.ok(order?.kind === "save" && order.message.isKept && order.message.writer === "a");
  const place = { kind: "saved", step: 1, member: "a", place: "there", elsewhere: true };
  assert.deepEqual(toldOf(paper.written({ place: "there" })), [place]);
  paper.compare();
  assert.equal(paper.stage, "ended");
  assert.equal(errorOf(paper), undefined);
});

Deno.test("a state that neither the folder nor its member can save ends the run with an error", () => {
  const paper = new Paper({ ...SAVING, steps: 1, startWorkers: 1 });
  paper.join("a", { atHome: false });
  for (const [lo, hi] of [[0, 2], [2, 4]]) paper.offer("a", lo, hi);
  paper.averaged();
  paper.beat(1);
  paper.copy();
  paper.written({ error: "no space" });
  paper.written({ error: "no space either" });
  assert.match(errorOf(paper)!, /the state after step 1, the last, is lost: no space either/);
});
