/** Reconnection after the coordinator had no connection, on paper. @module */

import assert from "node:assert/strict";
import { LEAVE_SECONDS } from "../../../src/dist/coordinator/state_machine.ts";
import type { Action } from "../../../src/dist/state/run_state.ts";
import { begun, type Paper } from "../support/paper.ts";
import { GONE_SECONDS } from "../../../src/dist/protocol/timeouts.ts";

const lostNames = (actions: Action[]) =>
  actions.flatMap((action) =>
    action.do === "report" && (action.event.kind === "left" || action.event.kind === "reducerLeft")
      ? [`${"member" in action.event ? action.event.member : action.event.reducer}: ${action.event.error}`]
      : []
  ).join("; ");

/** A run whose steps take half a second, so that silence has the floor; then the coordinator has no connection for so long. */
function cutOff(seconds: number, changes: Parameters<typeof begun>[0] = {}): Paper {
  const evaluation = { every: 0, microBatches: 0 };
  const paper = begun({ patienceSeconds: 2, silenceSeconds: 60, steps: 1000, evaluation, ...changes });
  for (let i = 0; i < 3; i++) {
    paper.now += 0.5;
    paper.step();
  }
  for (const end = paper.now + seconds; paper.now < end; paper.now++) {
    paper.do({ kind: "deaf", isCutOff: true });
    assert.equal(lostNames(paper.do({ kind: "tick" })), "");
  }
  return paper;
}

/** A member sends a heartbeat, with progress. */
function alive(paper: Paper, member: string): void {
  const status = { phase: "computing", progress: paper.now };
  paper.do({ kind: "status", member, step: paper.state.step, status });
}

/** Lets seconds pass: some members send a heartbeat each second, no process listens for the others. Returns the lost members. */
function pass(paper: Paper, seconds: number, heard: string[], missing: string[] = []): string {
  let lost = "";
  for (const end = paper.now + seconds; paper.now < end; paper.now++) {
    for (const member of heard) alive(paper, member);
    for (const name of missing) {
      lost += lostNames(paper.do({ kind: "probed", name, there: false, askedAt: paper.now }));
    }
    lost += lostNames(paper.do({ kind: "tick" }));
  }
  return lost;
}

Deno.test("a member that is back later than the coordinator is not lost, though no process listens there meanwhile", () => {
  const paper = cutOff(300);
  assert.equal(pass(paper, 55, ["a"], ["b"]), "");
  assert.equal(pass(paper, 3, ["a", "b"]), "", "what was seen of its absence is forgotten");
  assert.equal(paper.state.members.size, 2);
});

Deno.test("a message whose time was only noted counts from when it came, and not where a later one is known", () => {
  const paper = cutOff(300);
  paper.do({ kind: "heard", at: new Map([["a", paper.now - 5], ["gone", paper.now]]) });
  assert.equal(paper.state.members.get("a")!.returnedAt, undefined, "it came before the outage ended");
  paper.now += 3;
  paper.do({ kind: "heard", at: new Map([["a", paper.now - 1]]) });
  const { heardAt, returnedAt } = paper.state.members.get("a")!;
  assert.deepEqual([heardAt, returnedAt], [paper.now - 1, paper.now - 1]);
  paper.do({ kind: "heard", at: new Map([["a", paper.now - 2]]) });
  assert.equal(paper.state.members.get("a")!.heardAt, paper.now - 1);
  assert.deepEqual([...paper.state.members.keys()], ["a", "b"]);
});

Deno.test("a member that does not come back is lost after the whole silence; one that was back and goes again, as quickly as ever", () => {
  const paper = cutOff(300);
  assert.equal(pass(paper, 58, ["a"]), "");
  assert.match(pass(paper, 3, ["a"]), /^b: no heartbeat came from it for/);
  const again = cutOff(300);
  pass(again, 5, ["a", "b"]);
  assert.match(
    pass(again, GONE_SECONDS + 1, ["a"], ["b"]),
    /^b: (no heartbeat came from it|its connection has ended)/,
  );
});

Deno.test("a stall counts from when each member is back", () => {
  const paper = cutOff(300);
  assert.equal(pass(paper, 50, ["a"]), "");
  const still = () => {
    alive(paper, "a");
    paper.do({ kind: "heard", at: new Map([["b", paper.now]]) });
    paper.now++;
    return lostNames(paper.do({ kind: "tick" }));
  };
  for (let i = 0; i < 14; i++) assert.equal(still(), "");
  assert.match(still() + still(), /^b: it has stalled for 15 s/); // 30 times half a second
});

Deno.test("parts of vectors are pending from when each member is back", () => {
  const paper = cutOff(0, { patienceSeconds: 10 });
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  assert.equal(paper.stage, "reducing");
  const blocked = new Map([["b", paper.now]]);
  paper.now += 1;
  paper.do({ kind: "deaf", isCutOff: true });
  const tick = (...heard: string[]) => {
    paper.now++;
    for (const member of heard) paper.do({ kind: "heard", at: new Map([[member, paper.now]]) });
    return lostNames(paper.do({ kind: "tick", blockedSince: blocked }));
  };
  for (let i = 0; i < 40; i++) assert.equal(tick("a"), "");
  for (let i = 0; i < 29; i++) assert.equal(tick("a", "b"), "", "it is back");
  assert.match(tick("a", "b") + tick("a", "b"), /^b: it has stalled for 30 s/);
});

Deno.test("a reducer that is back later is not lost, nor counted as stalled", () => {
  const paper = begun({ patienceSeconds: 2, silenceSeconds: 60, steps: 1000 });
  const beat = (blocked: Record<string, number> = {}) =>
    paper.do({ kind: "reducer", reducer: "r", term: 1, isNear: false, blockedSeconds: blocked });
  beat();
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  paper.averaged();
  paper.beat(1);
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  assert.equal(paper.stage, "reducing");
  paper.do({ kind: "deaf", isCutOff: true });
  for (let i = 0; i < 50; i++, paper.now++) {
    paper.beat(paper.state.step, "waiting", i);
    paper.do({ kind: "probed", name: "r", there: false, askedAt: paper.now });
    assert.equal(lostNames(paper.do({ kind: "tick" })), "");
  }
  beat({ a: 50, b: 50 }); // by its own clock, which did not stand still
  assert.equal(lostNames(paper.do({ kind: "tick" })), "");
  for (let i = 0; i < 10; i++, paper.now++) {
    paper.beat(paper.state.step);
    beat({ a: 50 + i, b: 50 + i });
  }
  assert.match(lostNames(paper.do({ kind: "tick" })), /^r: no message from a member has reached it for 6 s/);
});

Deno.test("a coordinator that is frozen just after it is back still waits for members that are not", () => {
  const paper = cutOff(100);
  pass(paper, 3, ["a"]);
  paper.now += 3;
  paper.do({ kind: "deaf", isCutOff: false });
  assert.equal(pass(paper, 40, ["a"], ["b"]), "");
  assert.match(pass(paper, 20, ["a"], ["b"]), /^b: /);
});

Deno.test("a run that has ended releases members that come back later", () => {
  const paper = cutOff(0);
  paper.state = { ...paper.state, stage: { kind: "ended", since: paper.now } };
  const isOver = () => paper.do({ kind: "tick" }).some((action) => action.do === "end");
  for (let i = 0; i < 100; i++, paper.now++) {
    paper.do({ kind: "deaf", isCutOff: true });
    assert.ok(!isOver());
  }
  for (let i = 0; i < 30; i++, paper.now++) assert.ok(!isOver(), `${i}`);
  paper.do({ kind: "leave", member: "a" });
  assert.ok(!isOver(), "b is still to come");
  paper.do({ kind: "leave", member: "b" });
  assert.ok(isOver());
  const never = cutOff(0);
  never.state = { ...never.state, stage: { kind: "ended", since: never.now } };
  never.now += LEAVE_SECONDS;
  assert.ok(never.do({ kind: "tick" }).some((action) => action.do === "end"), "no member was cut off");
});

Deno.test("a failover is not decided while the coordinator has no connection, nor before workers can be back", () => {
  const { state } = begun({ silenceSeconds: 60, heartbeatSeconds: 1 });
  const paper = begun();
  paper.state = {
    ...state,
    stage: { kind: "gathering", expected: 2, alive: new Set(), arrivals: new Map() },
  };
  const isDecided = () => paper.do({ kind: "tick" }).some((action) => action.do === "recall");
  for (paper.now = 1; paper.now < 100; paper.now++) {
    paper.do({ kind: "deaf", isCutOff: true });
    assert.ok(!isDecided());
  }
  for (; paper.now < 155; paper.now++) assert.ok(!isDecided(), `${paper.now}`);
  paper.now = 160;
  assert.ok(isDecided());
});
