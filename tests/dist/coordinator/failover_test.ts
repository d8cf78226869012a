/** Failover, on paper: events at times that the test chooses. @module */

import assert from "node:assert/strict";
import { advance } from "../../../src/dist/coordinator/state_machine.ts";
import type { MembershipEvent } from "../../../src/dist/state/events.ts";
import {
  type CoordinationPlan,
  type DistEvent,
  NO_RECORD,
  type RunRecord,
} from "../../../src/dist/replica/plan.ts";
import { type Action, initialState, type RunState } from "../../../src/dist/state/run_state.ts";
import { gathering, GATHERING_HEARTBEATS } from "../../../src/dist/coordinator/failover.ts";
import { CONFIG_HASH, RUN_ID, toyIdentity, toyPlan } from "../support/toy.ts";

/** What a survivor says; by default that it was in generation 3 of term 1 and has ended step 5. */
interface Survivor {
  step?: number;
  term?: number;
  generation?: number;
  stateHash?: string;
}

/** A coordinator that takes over from second 100 on. */
class Successor {
  state: RunState;
  now = 100;

  constructor(
    expected: number,
    changes: Partial<CoordinationPlan> = {},
    lease = 0,
    readonly record: RunRecord = NO_RECORD,
  ) {
    const plan = toyPlan({
      steps: 10,
      microBatches: 4,
      evaluation: { every: 5, microBatches: 2 },
      ...changes,
    });
    this.state = gathering(initialState(plan, 1 + lease), { expected }, this.now);
  }

  /** Handles an event, and looks up the record when it is asked for. Returns what all that led to. */
  do(event: MembershipEvent): Action[] {
    const { state, actions } = advance(this.state, event, this.now);
    this.state = state;
    return actions.flatMap((action) =>
      action.do === "recall"
        ? [action, ...this.do({ kind: "recalled", step: action.step, record: this.record })]
        : [action]
    );
  }

  join(member: string, { step = 5, term = 1, generation = 3, stateHash = "five" }: Survivor = {}): Action[] {
    const request = {
      nonce: member,
      id: RUN_ID,
      identity: toyIdentity(10),
      configHash: CONFIG_HASH,
      stateHash,
      atHome: true,
      device: "cpu",
    };
    return this.do({ kind: "join", member, step, term, generation, isNear: false, request });
  }

  /** Time goes by. */
  after(seconds: number): Action[] {
    this.now += seconds;
    return this.do({ kind: "tick" });
  }

  get members(): string[] {
    return [...this.state.members.keys()];
  }
}

const WINDOW = GATHERING_HEARTBEATS * toyPlan().heartbeatSeconds;

const reported = (actions: Action[]): DistEvent[] =>
  actions.flatMap((action) => action.do === "report" ? [action.event] : []);
const recalled = (actions: Action[]): number[] =>
  actions.flatMap((action) => action.do === "recall" ? [action.step] : []);

Deno.test("when all expected workers have joined again, the step that no worker has applied is opened again", () => {
  const successor = new Successor(2, { evaluation: { every: 0, microBatches: 0 } });
  assert.deepEqual(successor.join("a"), [{ do: "postpone" }]);
  const actions = successor.join("b");
  assert.deepEqual(recalled(actions), [5]);
  assert.deepEqual(reported(actions), [{ kind: "took over", step: 5, term: 2, members: ["a", "b"] }]);
  assert.deepEqual(actions.at(-1), { do: "announce" });
  const { stage, step, generation } = successor.state;
  assert.deepEqual([stage.kind, step, generation], ["computing", 5, 4]);
  assert.deepEqual(stage.kind === "computing" && stage.ranges, { a: [[0, 2]], b: [[2, 4]] });
  assert.deepEqual(successor.join("a").map((action) => action.do), ["welcome"]);
});

Deno.test("a commit that one member has applied is final: it is the member, the others get its state", () => {
  const successor = new Successor(3);
  successor.join("behind");
  successor.join("ahead", { step: 6, stateHash: "six" });
  const actions = successor.join("behind too");
  assert.deepEqual(recalled(actions), [6]);
  assert.deepEqual(successor.members, ["ahead"]);
  assert.deepEqual(successor.join("behind").map((action) => action.do), ["welcome"]);
  assert.ok(successor.state.candidates.has("behind") && !successor.state.candidates.has("ahead"));
});

Deno.test("a worker with another state than the majority gets that one; with no majority the run stops", () => {
  const successor = new Successor(3);
  successor.join("a");
  successor.join("odd", { stateHash: "flipped" });
  successor.join("b");
  assert.deepEqual(successor.members, ["a", "b"]);
  const torn = new Successor(2);
  torn.join("a");
  torn.join("b", { stateHash: "flipped" });
  const { stage } = torn.state;
  assert.match(
    stage.kind === "ended" && stage.error || "",
    /the replicas differ after step 5; .*a: five; b: flipped/,
  );
});

Deno.test("workers that are not expected, or do not come, are waited for as long as live ones need to answer", () => {
  for (const expected of [0, 3]) {
    const successor = new Successor(expected);
    successor.join("a");
    successor.after(0.9 * WINDOW);
    assert.equal(successor.state.stage.kind, "gathering");
    successor.join("b");
    successor.after(0.2 * WINDOW);
    assert.deepEqual(successor.members, ["a", "b"]);
  }
});

Deno.test("a live worker in the middle of a long micro-batch is waited for, but not for ever", () => {
  const successor = new Successor(2);
  successor.join("a");
  successor.do({ kind: "alive", name: "busy", term: 1 });
  successor.after(3 * WINDOW);
  assert.equal(successor.state.stage.kind, "gathering");
  successor.join("busy");
  assert.deepEqual(successor.members, ["a", "busy"]);
  const other = new Successor(2);
  other.join("a");
  other.do({ kind: "alive", name: "busy", term: 1 });
  other.after(toyPlan().silenceSeconds);
  assert.deepEqual(other.members, ["a"]);
});

Deno.test("the term is above the lease's revision and all terms that any worker has seen", () => {
  const successor = new Successor(3, {}, 4);
  successor.join("a", { term: 2 });
  assert.equal(successor.state.term, 5);
  successor.do({ kind: "alive", name: "b", term: 7 });
  assert.equal(successor.state.term, 8);
  successor.join("c", { term: 9 });
  assert.equal(successor.state.term, 10);
});

Deno.test("what follows after the step that was learned is done again: comparison, evaluation, checkpoint", () => {
  const successor = new Successor(1, { hashEvery: 5, saveEvery: 5 });
  successor.join("a");
  assert.equal(successor.state.stage.kind, "hashing");
  assert.deepEqual(successor.state.duties, ["evaluate", "save"]);
  const start = new Successor(1, { hashEvery: 5, saveEvery: 5 });
  start.join("a", { step: 0 });
  assert.equal(start.state.stage.kind, "computing", "nothing follows after step 0");
});

Deno.test("where no worker is left, or all have an older state than the checkpoint, the run begins at its step", () => {
  const alone = new Successor(2, { startStep: 4 });
  const actions = alone.after(WINDOW);
  assert.deepEqual(recalled(actions), [4]);
  assert.deepEqual(reported(actions), [{
    kind: "waiting",
    reason:
      `no worker has a newer state than that of step ${alone.state.step}, waiting for workers: 0 of 1 are here`,
  }]);
  assert.deepEqual([alone.state.stage.kind, alone.state.generation], ["waiting", 0]);
  const older = new Successor(1, { startStep: 6 });
  older.join("a");
  assert.deepEqual(recalled(older.after(WINDOW)), [6]);
});

Deno.test("a run that had not begun begins when its workers are there", () => {
  const successor = new Successor(0, { startWorkers: 2 });
  successor.join("a", { step: 0, generation: 0 });
  successor.after(WINDOW);
  successor.join("a", { step: 0, generation: 0 });
  assert.equal(successor.state.stage.kind, "waiting");
  successor.join("b", { step: 0, generation: 0, stateHash: "five" });
  assert.deepEqual([successor.state.stage.kind, successor.state.generation], ["computing", 1]);
});

Deno.test("Ctrl-C while workers gather saves what they have", () => {
  const successor = new Successor(1);
  successor.do({ kind: "interrupt" });
  successor.join("a");
  assert.equal(successor.state.stage.kind, "saving");
  const alone = new Successor(1);
  alone.do({ kind: "interrupt" });
  alone.after(WINDOW);
  assert.equal(alone.state.stage.kind, "ended");
});

Deno.test("totals continue from the record; a recorded evaluation is not done again", () => {
  const record = { tokens: 70, loss: 2, evaluation: { step: 5, valLoss: 3 }, skips: 4 };
  const successor = new Successor(1, { saveEvery: 5 }, 0, record);
  successor.join("a");
  assert.equal(successor.state.stage.kind, "saving");
  const { tokens, loss, valLoss, skips } = successor.state;
  assert.deepEqual([tokens, loss, valLoss, skips], [70, 2, 3, 4]);
});

Deno.test("a worker that alone applied a commit, and comes late, gets the state of the others", () => {
  const successor = new Successor(1);
  successor.join("a");
  assert.deepEqual(successor.join("late", { step: 6, stateHash: "six" }).map((action) => action.do), [
    "welcome",
  ]);
  assert.ok(successor.state.candidates.has("late"));
});

Deno.test("a worker with another configuration is rejected at once", () => {
  const successor = new Successor(1, { configHash: "changed" });
  const [action] = successor.join("a");
  assert.deepEqual(action, {
    do: "refuse",
    reasons: [`hash of the run's configuration: the run has changed, you have ${CONFIG_HASH}`],
  });
});
