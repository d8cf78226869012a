/** @module */

import assert from "node:assert/strict";
import { longestPace, type Pace, paced, usualPace } from "../../../src/dist/state/pace.ts";
import type { CoordinationPlan } from "../../../src/dist/replica/plan.ts";
import type { Action } from "../../../src/dist/state/run_state.ts";
import { begun, type Paper } from "../support/paper.ts";

/** The pace after stages of these durations. */
function paceOf(seconds: number[]): Pace {
  return seconds.reduce<Pace>((pace, each, i) => paced(pace, "computing", i, each), {});
}

const repeated = (seconds: number, times: number) => Array.from({ length: times }, () => seconds);

Deno.test("one stage that took unusually long does not count; some in many don't either", () => {
  assert.equal(usualPace(paceOf([]), "computing"), undefined);
  assert.equal(usualPace(paceOf([3]), "computing"), 3);
  assert.equal(usualPace(paceOf([0.1, 3]), "computing"), 0.1);
  assert.equal(usualPace(paceOf([3, 0.1]), "computing"), 0.1, "the first one compiles something");
  assert.equal(usualPace(paceOf([...repeated(0.1, 45), ...repeated(3, 5)]), "computing"), 0.1);
  assert.equal(usualPace(paceOf([...repeated(0.1, 44), ...repeated(3, 6)]), "computing"), 3);
});

Deno.test("what is slow again and again is usual, soon; what was long ago is forgotten", () => {
  assert.equal(usualPace(paceOf([...repeated(0.1, 50), ...repeated(3, 6)]), "computing"), 3, "slower now");
  const everyFifth = Array.from({ length: 50 }, (_, i) => i % 5 === 0 ? 3 : 0.1);
  assert.equal(usualPace(paceOf(everyFifth), "computing"), 3);
  assert.equal(longestPace(paceOf([30, ...repeated(0.1, 49)]), "computing"), 30);
  assert.equal(longestPace(paceOf([30, ...repeated(0.1, 50)]), "computing"), 0.1);
});

Deno.test("a stage counts once, with its longest result; each kind of stage by itself", () => {
  const pace = paced(paced(paced({}, "computing", 0, 1), "computing", 0, 3), "computing", 0, 2);
  assert.equal(usualPace(pace, "computing"), 3);
  assert.equal(usualPace(paced(pace, "evaluating", 1, 60), "computing"), 3);
});

/** Whom the run has lost, with the reason. */
const lostIn = (actions: Action[]) =>
  actions.flatMap((action) =>
    action.do === "report" && action.event.kind === "left" ? [action.event.error ?? "it left"] : []
  ).join();

function steps(paper: Paper, seconds: number[]): void {
  for (const each of seconds) {
    paper.now += each;
    paper.step();
  }
}

/** After how many seconds a member that falls silent is lost; the other one is heard of. */
function noticedAfter(paper: Paper): number {
  const since = paper.now;
  for (;; paper.now += 0.1) {
    const status = { phase: "computing", progress: paper.now };
    paper.do({ kind: "status", member: "a", step: paper.state.step, status });
    if (lostIn(paper.do({ kind: "tick" }))) return paper.now - since;
    assert.ok(paper.now - since < 200);
  }
}

const QUICK: Partial<CoordinationPlan> = {
  steps: 1000,
  patienceSeconds: 2,
  silenceSeconds: 60,
  evaluation: { every: 0, microBatches: 0 },
};

Deno.test("after one stall a death is noticed as quickly as before", () => {
  const paper = begun(QUICK);
  steps(paper, [...repeated(0.1, 20), 8, ...repeated(0.1, 2)]);
  assert.ok(noticedAfter(paper) < 2.2);
});

Deno.test("the time that it took to notice a death is no pace", () => {
  const paper = begun(QUICK);
  steps(paper, repeated(0.1, 3));
  noticedAfter(paper);
  paper.offer("a", 0, 2);
  paper.offer("a", 2, 4); // the other's share, seconds late
  assert.equal(paper.stage, "reducing");
  assert.ok(longestPace(paper.state.pace, "computing")! < 0.2);
});

Deno.test("nor is the time that the server was away", () => {
  const paper = begun(QUICK);
  steps(paper, repeated(0.1, 3));
  paper.now += 100;
  paper.do({ kind: "deaf", isCutOff: true });
  steps(paper, [0.1]);
  assert.ok(longestPace(paper.state.pace, "computing")! < 0.2);
});

Deno.test("steps that really become slower lose no member, suddenly or gradually", () => {
  for (const slower of [[20, 20, 20, 20], [0.5, 2, 8, 30, 50]]) {
    const paper = begun({ ...QUICK, patienceSeconds: 10 });
    steps(paper, repeated(0.5, 60));
    for (const seconds of slower) {
      for (const end = paper.now + seconds; paper.now < end; paper.now++) {
        paper.beat(paper.state.step, "computing", Math.floor(paper.now)); // it gets on
        assert.equal(lostIn(paper.do({ kind: "tick" })), "");
      }
      paper.step();
    }
  }
});

Deno.test("occasional long steps lose no member, though a member shows no progress in them", () => {
  const paper = begun({ ...QUICK, patienceSeconds: 1 });
  for (let i = 0; i < 200; i++) {
    const seconds = i % 25 === 0 ? 20 : 0.5; // 4 % of all
    for (const end = paper.now + seconds; paper.now < end && i > 0; paper.now++) {
      paper.beat(paper.state.step, "computing", i);
      assert.equal(lostIn(paper.do({ kind: "tick" })), "");
    }
    if (i === 0) paper.now += seconds;
    paper.step();
  }
});

Deno.test("long evaluations between steps change nothing for steps, nor for vectors that travel", () => {
  const paper = begun({ ...QUICK, evaluation: { every: 1, microBatches: 2 } });
  for (let step = 1; step <= 12; step++) {
    steps(paper, [0.1]);
    assert.equal(paper.stage, "evaluating");
    paper.now += 5;
    for (const [microBatch, member] of ["a", "b"].entries()) {
      paper.do({ kind: "evaluated", member, step, losses: [{ microBatch, lossSum: 1, tokens: 1 }] });
    }
  }
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  assert.equal(paper.stage, "reducing");
  assert.ok(noticedAfter(paper) < 2.2);
});
