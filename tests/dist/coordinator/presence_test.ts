/** A process that is gone is known at once, and one that only seems to be keeps its place. @module */

import assert from "node:assert/strict";
import { doubtful, GRACE_SECONDS } from "../../../src/dist/coordinator/presence.ts";
import { gathering } from "../../../src/dist/coordinator/failover.ts";
import type { Action } from "../../../src/dist/state/run_state.ts";
import { GONE_SECONDS } from "../../../src/dist/protocol/timeouts.ts";
import { begun, Paper } from "../support/paper.ts";

/** Who has left, and why. */
const lost = (actions: readonly Action[]) =>
  actions.flatMap((action) =>
    action.do === "report" && (action.event.kind === "left" || action.event.kind === "reducerLeft")
      ? [action.event.error]
      : []
  );

/** The connection of a name closes; a probe follows as soon as the grace is over. */
function closeAndProbe(paper: Paper, name: string, there: boolean, later = 0): Action[] {
  paper.do({ kind: "disconnected", name });
  paper.now += GRACE_SECONDS + later;
  assert.deepEqual(doubtful(paper.state, paper.now), [name]);
  return paper.do({ kind: "probed", name, there, askedAt: paper.now });
}

Deno.test("a member whose connection closes, and that does not listen after the grace, is lost at once", () => {
  const paper = begun();
  const actions = closeAndProbe(paper, "b", false);
  assert.deepEqual(lost(actions), [
    "its connection has ended, its process is probably dead; it was last seen joining after step 0",
  ]);
  assert.ok(actions.some((action) => action.do === "announce"), "the others get its work");
  assert.deepEqual([...paper.state.members.keys()], ["a"]);
});

Deno.test("a member that connects again within the grace, or has another connection of its name, stays", () => {
  const paper = begun();
  assert.deepEqual(closeAndProbe(paper, "b", true), []);
  assert.deepEqual(doubtful(paper.state, paper.now), [], "that is settled");
  paper.now += GONE_SECONDS - 1;
  paper.beat(0);
  paper.do({ kind: "tick" });
  assert.equal(paper.state.members.size, 2);
});

Deno.test("a probe from before the end of the grace decides nothing: neither that a member is gone, nor that it is there", () => {
  const paper = begun();
  const before = paper.now;
  paper.do({ kind: "disconnected", name: "b" });
  paper.now += GRACE_SECONDS;
  assert.deepEqual(lost(paper.do({ kind: "probed", name: "b", there: false, askedAt: before })), []);
  paper.do({ kind: "probed", name: "b", there: true, askedAt: before });
  assert.deepEqual(doubtful(paper.state, paper.now), ["b"]);
});

Deno.test("what a dead member had sent before is no sign of life", () => {
  const paper = begun();
  paper.do({ kind: "disconnected", name: "b" });
  paper.now += GRACE_SECONDS;
  paper.do({ kind: "heard", at: new Map([["b", paper.now]]) }); // it was in flight
  assert.deepEqual(doubtful(paper.state, paper.now), ["b"]);
});

Deno.test("after an outage a member that is not heard yet may connect more than once: it has the long patience", () => {
  const paper = begun();
  paper.now = 10;
  paper.do({ kind: "deaf", isCutOff: true });
  paper.now = 11;
  assert.deepEqual(lost(closeAndProbe(paper, "b", false)), []);
  assert.equal(paper.state.members.size, 2);
  paper.now = 12;
  paper.beat(0);
  assert.equal(lost(closeAndProbe(paper, "b", false)).length, 1, "it was back, and is gone now");
});

Deno.test("an outage of the server, in which all connections close, costs nobody its place", () => {
  const paper = begun();
  for (const name of ["a", "b"]) paper.do({ kind: "disconnected", name });
  paper.do({ kind: "deaf", isCutOff: true });
  paper.now += GRACE_SECONDS;
  assert.deepEqual(doubtful(paper.state, paper.now), []);
});

Deno.test("the launcher's word that a member's process has ended is final, and needs no grace", () => {
  const paper = begun();
  assert.deepEqual(lost(paper.do({ kind: "ended", name: "b", nonce: "b" })), [
    "its process has ended; it was last seen joining after step 0",
  ]);
  assert.deepEqual([...paper.state.members.keys()], ["a"]);
});

Deno.test("a late word about a process does not remove the one that has its name now", () => {
  const paper = new Paper();
  paper.join("a");
  paper.join("b", { nonce: "the second b" });
  assert.deepEqual(paper.do({ kind: "ended", name: "b", nonce: "the first b" }), []);
  assert.equal(paper.state.members.size, 2);
});

Deno.test("a candidate and a reducer that end are lost at once, too", () => {
  const paper = begun();
  paper.join("c", {}, 0);
  assert.equal(paper.state.candidates.size, 1);
  assert.equal(lost(closeAndProbe(paper, "c", false)).length, 1);
  assert.equal(paper.state.candidates.size, 0);
  for (const reducer of ["x", "y"]) {
    paper.do({ kind: "reducer", reducer, term: 1, isNear: false, blockedSeconds: {}, malformedOrders: 0 });
  }
  paper.do({ kind: "disconnected", name: "x" });
  paper.do({ kind: "reducer", reducer: "x", term: 1, isNear: false, blockedSeconds: {}, malformedOrders: 0 }); // it was in flight
  paper.now += GRACE_SECONDS;
  assert.deepEqual(lost(paper.do({ kind: "probed", name: "x", there: false, askedAt: paper.now })), [
    "its connection has ended, its process is probably dead",
  ]);
  assert.deepEqual(lost(paper.do({ kind: "ended", name: "y", nonce: "that of y" })), [
    "its process has ended",
  ]);
  assert.equal(paper.state.reducers.size, 0);
});

Deno.test("after a failover a worker that has ended is not waited for", () => {
  const paper = new Paper();
  paper.state = gathering(paper.state, { expected: 2 }, 0);
  paper.join("a");
  paper.do({ kind: "alive", name: "b", term: 0 });
  paper.do({ kind: "ended", name: "b", nonce: "b" });
  paper.do({ kind: "ended", name: "a", nonce: "an earlier one" });
  const { stage } = paper.state;
  assert.ok(stage.kind === "gathering");
  assert.deepEqual([[...stage.alive], [...stage.arrivals.keys()]], [[], ["a"]]);
  paper.do({ kind: "ended", name: "a", nonce: "a" });
  assert.ok(paper.state.stage.kind === "gathering" && paper.state.stage.arrivals.size === 0);
});
