/** A coordinator takes over, on paper: events at times that the test chooses. @module */

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
class Heir {
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
    };
    return this.do({ kind: "join", member, step, term, generation, request });
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

Deno.test("when all who are expected have joined again, the step that nobody has applied is opened again", () => {
  const heir = new Heir(2, { evaluation: { every: 0, microBatches: 0 } });
  assert.deepEqual(heir.join("a"), [{ do: "postpone" }]);
  const actions = heir.join("b");
  assert.deepEqual(recalled(actions), [5]);
  assert.deepEqual(reported(actions), [{ kind: "took over", step: 5, term: 2, members: ["a", "b"] }]);
  assert.deepEqual(actions.at(-1), { do: "announce" });
  const { stage, step, generation } = heir.state;
  assert.deepEqual([stage.kind, step, generation], ["computing", 5, 4]);
  assert.deepEqual(stage.kind === "computing" && stage.ranges, { a: [[0, 2]], b: [[2, 4]] });
  assert.deepEqual(heir.join("a").map((action) => action.do), ["welcome"]);
});

Deno.test("a commit that one member has applied is final: it is the member, the others take its state over", () => {
  const heir = new Heir(3);
  heir.join("behind");
  heir.join("ahead", { step: 6, stateHash: "six" });
  const actions = heir.join("behind too");
  assert.deepEqual(recalled(actions), [6]);
  assert.deepEqual(heir.members, ["ahead"]);
  assert.deepEqual(heir.join("behind").map((action) => action.do), ["welcome"]);
  assert.ok(heir.state.candidates.has("behind") && !heir.state.candidates.has("ahead"));
});

Deno.test("who has another state than the majority takes that one over; with no majority the run stops", () => {
  const heir = new Heir(3);
  heir.join("a");
  heir.join("odd", { stateHash: "flipped" });
  heir.join("b");
  assert.deepEqual(heir.members, ["a", "b"]);
  const torn = new Heir(2);
  torn.join("a");
  torn.join("b", { stateHash: "flipped" });
  const { stage } = torn.state;
  assert.match(
    stage.kind === "ended" && stage.error || "",
    /the replicas differ after step 5; .*a: five; b: flipped/,
  );
});

Deno.test("who is not expected, or does not come, is waited for as long as the living need to answer", () => {
  for (const expected of [0, 3]) {
    const heir = new Heir(expected);
    heir.join("a");
    heir.after(0.9 * WINDOW);
    assert.equal(heir.state.stage.kind, "gathering");
    heir.join("b");
    heir.after(0.2 * WINDOW);
    assert.deepEqual(heir.members, ["a", "b"]);
  }
});

Deno.test("who lives and is in the middle of a long micro-batch is waited for, but not for ever", () => {
  const heir = new Heir(2);
  heir.join("a");
  heir.do({ kind: "alive", name: "busy", term: 1 });
  heir.after(3 * WINDOW);
  assert.equal(heir.state.stage.kind, "gathering");
  heir.join("busy");
  assert.deepEqual(heir.members, ["a", "busy"]);
  const other = new Heir(2);
  other.join("a");
  other.do({ kind: "alive", name: "busy", term: 1 });
  other.after(toyPlan().silenceSeconds);
  assert.deepEqual(other.members, ["a"]);
});

Deno.test("the term is above the lease's revision and all terms that anybody has seen", () => {
  const heir = new Heir(3, {}, 4);
  heir.join("a", { term: 2 });
  assert.equal(heir.state.term, 5);
  heir.do({ kind: "alive", name: "b", term: 7 });
  assert.equal(heir.state.term, 8);
  heir.join("c", { term: 9 });
  assert.equal(heir.state.term, 10);
});

Deno.test("what follows after the step that was learned is done again: comparison, evaluation, checkpoint", () => {
  const heir = new Heir(1, { hashEvery: 5, saveEvery: 5 });
  heir.join("a");
  assert.equal(heir.state.stage.kind, "hashing");
  assert.deepEqual(heir.state.duties, ["evaluate", "save"]);
  const start = new Heir(1, { hashEvery: 5, saveEvery: 5 });
  start.join("a", { step: 0 });
  assert.equal(start.state.stage.kind, "computing", "nothing follows after step 0");
});

Deno.test("where nobody is left, or all have an older state than the checkpoint, the run begins at its step", () => {
  const nobody = new Heir(2, { startStep: 4 });
  const actions = nobody.after(WINDOW);
  assert.deepEqual(recalled(actions), [4]);
  assert.deepEqual(reported(actions), [{
    kind: "waiting",
    reason:
      `no worker has a newer state than that of step ${nobody.state.step}, waiting for workers: 0 of 1 are here`,
  }]);
  assert.deepEqual([nobody.state.stage.kind, nobody.state.generation], ["waiting", 0]);
  const older = new Heir(1, { startStep: 6 });
  older.join("a");
  assert.deepEqual(recalled(older.after(WINDOW)), [6]);
});

Deno.test("a run that had not begun begins when its workers are there", () => {
  const heir = new Heir(0, { startWorkers: 2 });
  heir.join("a", { step: 0, generation: 0 });
  heir.after(WINDOW);
  heir.join("a", { step: 0, generation: 0 });
  assert.equal(heir.state.stage.kind, "waiting");
  heir.join("b", { step: 0, generation: 0, stateHash: "five" });
  assert.deepEqual([heir.state.stage.kind, heir.state.generation], ["computing", 1]);
});

Deno.test("Ctrl-C while workers gather saves what they have", () => {
  const heir = new Heir(1);
  heir.do({ kind: "interrupt" });
  heir.join("a");
  assert.equal(heir.state.stage.kind, "saving");
  const nobody = new Heir(1);
  nobody.do({ kind: "interrupt" });
  nobody.after(WINDOW);
  assert.equal(nobody.state.stage.kind, "ended");
});

Deno.test("what is on record counts on; an evaluation that is there is not done again", () => {
  const record = { tokens: 70, loss: 2, evaluation: { step: 5, valLoss: 3 }, skips: 4 };
  const heir = new Heir(1, { saveEvery: 5 }, 0, record);
  heir.join("a");
  assert.equal(heir.state.stage.kind, "saving");
  const { tokens, loss, valLoss, skips } = heir.state;
  assert.deepEqual([tokens, loss, valLoss, skips], [70, 2, 3, 4]);
});

Deno.test("one that applied a commit nobody else got, and comes late, takes over the state of the others", () => {
  const heir = new Heir(1);
  heir.join("a");
  assert.deepEqual(heir.join("late", { step: 6, stateHash: "six" }).map((action) => action.do), ["welcome"]);
  assert.ok(heir.state.candidates.has("late"));
});

Deno.test("a worker with another configuration is refused at once", () => {
  const heir = new Heir(1, { configHash: "changed" });
  const [action] = heir.join("a");
  assert.deepEqual(action, {
    do: "refuse",
    reasons: [`hash of the run's configuration: the run has changed, you have ${CONFIG_HASH}`],
  });
});
