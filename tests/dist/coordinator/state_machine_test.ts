/** @module */

import assert from "node:assert/strict";
import { workOf } from "../../../src/dist/steps/reducer_set.ts";
import { LEAVE_SECONDS, outcomeOf } from "../../../src/dist/coordinator/state_machine.ts";
import type { Messages } from "../../../src/dist/protocol/messages.ts";
import { checksumOfNames, checksumOfSamples } from "../../../src/dist/protocol/checksums.ts";
import { isAwaited, orderFor } from "../../../src/dist/state/orders.ts";
import type { Action } from "../../../src/dist/state/run_state.ts";
import type { Ranges } from "../../../src/dist/vectors/tree.ts";
import { begun, Paper } from "../support/paper.ts";
import { CORPUS_HASH, toyIdentity } from "../support/toy.ts";
import { GONE_SECONDS } from "../../../src/dist/protocol/timeouts.ts";

/** Reasons of the refusal among these actions. */
function reasons(actions: Action[]): string {
  return actions.flatMap((action) => action.do === "refuse" ? action.reasons : []).join("\n");
}

/** Who was lost among these actions, and why. */
function lostNames(actions: Action[]): string {
  return actions.flatMap((action) =>
    action.do === "report" && action.event.kind === "left"
      ? [`${action.event.member}: ${action.event.error}`]
      : []
  ).join("\n");
}

function errorOf(paper: Paper): string | undefined {
  return paper.state.stage.kind === "ended" ? paper.state.stage.error : undefined;
}

Deno.test("training starts when enough workers are there, and says what it waits for until then", () => {
  const paper = new Paper();
  const actions = paper.join("a");
  assert.deepEqual(actions.at(-1), {
    do: "report",
    event: { kind: "waiting", reason: "waiting for workers: 1 of 2 are here" },
  });
  assert.equal(paper.stage, "waiting");
  paper.join("b");
  const members = checksumOfNames(["b", "a"]);
  for (const [name, ranges] of [["a", [[0, 2]]], ["b", [[2, 4]]]] as const) {
    assert.deepEqual(orderFor(paper.state, name), { kind: "assign", step: 1, message: { ranges, members } });
  }
});

Deno.test("a join that was repeated is welcomed again and changes nothing", () => {
  const paper = begun();
  const before = paper.state;
  assert.deepEqual(paper.join("a"), [{ do: "welcome", member: "a" }]);
  const plain = (state: typeof before) => ({ ...state, members: [...state.members] });
  assert.deepEqual(plain(paper.state), plain(before));
});

Deno.test("a rejected join names the fields that differ", () => {
  const identity = toyIdentity(10);
  const refusals: [Partial<Messages["join"]>, RegExp][] = [
    [{ configHash: "other" }, /hash of the run's configuration: the run has c+, you have other/],
    [
      { identity: toyIdentity(11) },
      /parameters .*: parameter 0 is weight \[11\] here and weight \[10\] there/,
    ],
    [{ identity: { ...identity, numericsFingerprint: "GPU" } }, /numerics: the run has toy.*, you have GPU/],
    [
      { identity: { ...identity, corpus: { bytes: 7, sha256: CORPUS_HASH } } },
      /corpus in bytes: the run has 1000, you have 7/,
    ],
    [
      { identity: { ...identity, corpus: { bytes: 1000, sha256: "d" } } },
      /SHA-256 of the corpus: .* you have d/,
    ],
    [{ stateHash: "state 1" }, /hash of the state at step 0: the run has state 0, you have state 1/],
  ];
  for (const [changes, reason] of refusals) {
    const paper = new Paper();
    paper.join("a");
    assert.match(reasons(paper.join("b", changes)), reason);
    assert.equal(paper.state.members.size, 1);
  }
  const paper = new Paper();
  assert.match(reasons(paper.join("a", {}, 3)), /step: the run has 0, you have 3/);
  paper.join("a");
  assert.match(
    reasons(paper.join("a", { nonce: "another a" })),
    /there is a member a already; .*--machine\.name/,
  );
});

Deno.test("a rejected worker may ask again where all reasons may pass", () => {
  const paper = new Paper();
  const isRetried = (...args: Parameters<Paper["join"]>) =>
    paper.join(...args).some((action) => action.do === "refuse" && action.retry === true);
  assert.ok(isRetried("a", {}, 3)); // the step
  paper.join("a");
  assert.ok(isRetried("a", { nonce: "another a" })); // the name
  assert.ok(!isRetried("a", { nonce: "another a", configHash: "b".repeat(64) }));
});

Deno.test("a mixed run admits other numerics, and says so; everything else must agree as ever", () => {
  const paper = new Paper({ mixed: true });
  paper.join("a");
  const other = { ...toyIdentity(10), numericsFingerprint: "toy on a GPU" };
  const reports = paper.join("b", { identity: other }).filter((action) => action.do === "report");
  assert.deepEqual(reports.map(({ event }) => event.kind), ["mixed", "joined"]);
  const { event } = reports[0];
  assert.ok(event.kind === "mixed" && event.member === "b" && event.numerics === "toy on a GPU");
  assert.equal(event.runsNumerics, toyIdentity(10).numericsFingerprint);
  const corpus = { bytes: 7, sha256: CORPUS_HASH };
  const refused = paper.join("c", { identity: { ...other, corpus } })[0];
  assert.ok(refused.do === "refuse");
  assert.deepEqual(refused.reasons, ["length of the corpus in bytes: the run has 1000, you have 7"]);
});

Deno.test("a step is pulled when all sums are in, committed when reduced, over when all have applied it", () => {
  const paper = begun();
  paper.now = 10;
  paper.offer("b", 2, 4);
  assert.ok(!isAwaited(paper.state, paper.state.members.get("b")!));
  assert.ok(isAwaited(paper.state, paper.state.members.get("a")!));
  const [average] = paper.offer("a", 0, 2);
  assert.deepEqual(average, { do: "reduce" });
  assert.deepEqual(workOf(paper.state), {
    step: 1,
    appliedStep: 0,
    openedIn: 1,
    owners: ["coordinator"],
    leaves: 4,
    sums: [{ member: "b", lo: 2, hi: 4 }, { member: "a", lo: 0, hi: 2 }],
    members: ["a", "b"],
    far: ["a", "b"],
    lossSum: 24,
    tokens: 12,
    values: 10,
  });
  paper.now = 12;
  const traffic = { bytesSent: 80, bytesReceived: 60 };
  const actions = paper.averaged(5, traffic);
  const committed = {
    step: 1,
    loss: 2,
    tokens: 12,
    gradNorm: 5,
    applied: true,
    seconds: 12,
    ...traffic,
    workers: 2,
    generation: 1,
    computed: { a: [0, 1], b: [2, 3] },
    samples: [0, 1, 2, 3],
  };
  assert.deepEqual(actions, [
    { do: "report", event: { kind: "step", committed } },
    { do: "announce" },
  ]);
  const samples = { count: 4, crc: checksumOfSamples([0, 1, 2, 3]) };
  const message = { apply: true, norm: 5, loss: 2, tokens: 12, samples };
  assert.deepEqual(orderFor(paper.state, "a"), { kind: "commit", step: 1, message });
  paper.do({ kind: "status", member: "a", step: 1, status: { phase: "ready", progress: 1 } });
  assert.equal(paper.state.step, 0);
  paper.do({ kind: "status", member: "b", step: 1, status: { phase: "ready", progress: 1 } });
  assert.equal(paper.state.step, 1);
  assert.equal(orderFor(paper.state, "a")?.kind, "assign");
});

Deno.test("sums that come twice, from another member, or are not subtrees don't count twice", () => {
  const paper = begun();
  paper.offer("b", 2, 4);
  paper.offer("b", 2, 4);
  paper.offer("a", 2, 3);
  paper.offer("a", 1, 3);
  assert.equal(paper.stage, "computing");
  assert.equal(paper.state.stage.kind === "computing" && paper.state.stage.sums.length, 1);
});

Deno.test("results of another step are not taken", () => {
  const paper = begun();
  const report = { crc: 0, lossSum: 1, tokens: 1, finite: true };
  for (const step of [0, 2]) {
    paper.do({ kind: "offer", member: "a", step, lo: 0, hi: 2, reports: [report, report], seconds: 1 });
  }
  assert.equal(paper.state.stage.kind === "computing" && paper.state.stage.sums.length, 0);
});

Deno.test("a gradient that is not finite skips the step for all, without an all-reduce, and says whose it was", () => {
  const paper = begun();
  paper.offer("a", 0, 2);
  const actions = paper.offer("b", 2, 4, { finite: false });
  assert.match(JSON.stringify(actions), /micro-batch 2, computed by b, is not finite/);
  const order = orderFor(paper.state, "a");
  assert.ok(order?.kind === "commit" && !order.message.apply);
});

Deno.test("a step without a counted token is skipped", () => {
  const paper = begun();
  paper.offer("a", 0, 2, { tokens: 0, lossSum: 0 });
  assert.match(JSON.stringify(paper.offer("b", 2, 4, { tokens: 0, lossSum: 0 })), /no token/);
});

Deno.test("a sum that overflows skips the step", () => {
  const paper = begun();
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  assert.match(
    JSON.stringify(paper.averaged(Infinity)),
    /sum of the gradients is not finite/,
  );
});

Deno.test("evaluations, checkpoints and hashes come when they are due, and the run ends when all have left", () => {
  const paper = begun({ steps: 3, saveEvery: 2, evaluation: { every: 0, microBatches: 2 } });
  paper.step();
  assert.equal(paper.stage, "computing");
  paper.step();
  assert.equal(orderFor(paper.state, "a")?.kind, "hash");
  paper.compare();
  assert.deepEqual(orderFor(paper.state, "a"), {
    kind: "save",
    step: 2,
    message: { writer: "a", copying: ["a"], members: ["a", "b"], appliedStep: 2 },
  });
  paper.copy();
  paper.written();
  paper.step();
  assert.equal(orderFor(paper.state, "a")?.kind, "evaluate");
  paper.do({ kind: "evaluated", member: "b", step: 3, losses: [{ microBatch: 1, lossSum: 3, tokens: 1 }] });
  const actions = paper.do({
    kind: "evaluated",
    member: "a",
    step: 3,
    losses: [{ microBatch: 0, lossSum: 1, tokens: 1 }],
  });
  assert.deepEqual(actions[0], { do: "report", event: { kind: "evaluated", step: 3, valLoss: 2 } });
  paper.copy();
  paper.written();
  assert.equal(orderFor(paper.state, "a")?.kind, "hash");
  const hashes = { state: "s", params: "p" };
  paper.do({ kind: "hashes", member: "a", step: 3, hashes });
  paper.do({ kind: "hashes", member: "a", step: 3, hashes });
  paper.do({ kind: "hashes", member: "b", step: 3, hashes });
  assert.equal(outcomeOf(paper.state, {}).paramsHash, "p");
  assert.deepEqual(paper.do({ kind: "leave", member: "a" }), []);
  assert.deepEqual(paper.do({ kind: "leave", member: "b" }), [{ do: "end" }]);
});

Deno.test("replicas that differ at the end fail the run, and it says who has what", () => {
  const paper = begun({ steps: 1, evaluation: { every: 0, microBatches: 0 } });
  paper.step();
  paper.do({ kind: "hashes", member: "a", step: 1, hashes: { state: "one", params: "p" } });
  paper.do({ kind: "hashes", member: "b", step: 1, hashes: { state: "two", params: "p" } });
  assert.match(errorOf(paper)!, /replicas differ after step 1.*a: one; b: two/);
});

Deno.test("members have a few seconds to leave a run that has ended", () => {
  const paper = begun();
  paper.do({ kind: "failed", error: "the coordinator has failed" });
  assert.deepEqual(orderFor(paper.state, "a")?.message, { error: "the coordinator has failed" });
  assert.deepEqual(paper.do({ kind: "tick" }), []);
  paper.now = LEAVE_SECONDS;
  assert.deepEqual(paper.do({ kind: "tick" }), [{ do: "end" }]);
});

Deno.test("a worker may leave while the run waits for others", () => {
  const paper = new Paper();
  paper.join("a");
  paper.do({ kind: "leave", member: "a" });
  assert.equal(paper.stage, "waiting");
  assert.deepEqual(reasons(paper.join("b", { stateHash: "another seed" })), "");
});

Deno.test("a worker whose connection has ended is lost after seconds, one that connects again is not", () => {
  const paper = begun();
  const probe = (there: boolean) => paper.do({ kind: "probed", name: "b", there, askedAt: paper.now });
  probe(false);
  paper.now = GONE_SECONDS - 1;
  paper.beat(0);
  paper.do({ kind: "tick" });
  probe(true);
  paper.now = GONE_SECONDS;
  paper.do({ kind: "tick" });
  assert.equal(paper.state.members.size, 2);
  probe(false);
  paper.now = 2 * GONE_SECONDS;
  paper.beat(0);
  probe(false);
  assert.match(lostNames(paper.do({ kind: "tick" })), /b: its connection has ended/);
});

Deno.test("before anything is known of the pace a silent worker has the ceiling, one that is only slow stays", () => {
  const paper = begun({ silenceSeconds: 60 });
  for (let time = 0; time <= 3600; time += 10) {
    paper.now = time;
    paper.beat(0, "computing micro-batch 0", time); // progress, though one step takes an hour
    paper.do({ kind: "tick" });
  }
  assert.equal(paper.state.members.size, 2);
  paper.now += 50;
  paper.do({ kind: "heard", at: new Map([["a", paper.now]]) });
  paper.now += 10;
  assert.match(
    lostNames(paper.do({ kind: "tick" })),
    /b: no heartbeat came from it for 60 s; it was last seen computing/,
  );
});

Deno.test("deadlines follow the pace, within a floor and a ceiling", () => {
  const deadlineAfter = (seconds: number) => {
    const paper = begun({ patienceSeconds: 10, silenceSeconds: 60 });
    paper.now = seconds; // for a result
    paper.step();
    const since = paper.now;
    for (;; paper.now++) {
      paper.do({ kind: "heard", at: new Map([["a", paper.now]]) });
      paper.do({ kind: "status", member: "a", step: 1, status: { phase: "computing", progress: paper.now } });
      if (lostNames(paper.do({ kind: "tick" }))) return paper.now - since;
    }
  };
  assert.equal(deadlineAfter(0.5), 10, "the floor");
  assert.equal(deadlineAfter(3), 30, "ten times");
  assert.equal(deadlineAfter(20), 60, "the ceiling");
});

Deno.test("a worker that lives without progress is lost later, but not while it saves", () => {
  const beatFor = (paper: Paper, seconds: number, step: number) => {
    let lost = "";
    for (const end = paper.now + seconds; paper.now < end; paper.now += 10) {
      paper.beat(step);
      lost += lostNames(paper.do({ kind: "tick" }));
    }
    return lost;
  };
  const stuck = begun({ silenceSeconds: 60 });
  assert.equal(beatFor(stuck, 590, 0), "");
  assert.match(beatFor(stuck, 30, 0), /a: it has stalled for 600 s/);
  const saving = begun({ steps: 1, evaluation: { every: 0, microBatches: 0 } });
  saving.step();
  saving.compare();
  beatFor(saving, 3600, 1);
  assert.equal(saving.stage, "saving");
  saving.copy();
  beatFor(saving, 3600, 1);
  assert.equal(saving.stage, "writing");
});

Deno.test("a member with pending parts of vectors is lost, not one that waits for them", () => {
  const paper = begun({ patienceSeconds: 2, silenceSeconds: 6 });
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  assert.equal(paper.stage, "reducing");
  for (paper.now = 1; paper.now < 10; paper.now++) {
    paper.beat(0);
    const lost = lostNames(paper.do({ kind: "tick", blockedSince: new Map([["b", 1]]) }));
    if (lost) {
      assert.match(lost, /^b: it has stalled for 6 s/);
      break;
    }
  }
  assert.equal(paper.now, 7);
});

Deno.test("a coordinator that was paused itself loses no member for its silence", () => {
  const paper = begun({ silenceSeconds: 60 });
  paper.now = 100;
  paper.do({ kind: "deaf", isCutOff: false });
  assert.equal(lostNames(paper.do({ kind: "tick" })), "");
  paper.now = 160;
  assert.match(lostNames(paper.do({ kind: "tick" })), /no heartbeat came/);
});

Deno.test("the clocks of pending parts restart after the coordinator was paused, too", () => {
  const paper = begun({ patienceSeconds: 2, silenceSeconds: 6 });
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  const tick = { kind: "tick", blockedSince: new Map([["b", 1]]) } as const;
  paper.now = 100;
  paper.do({ kind: "deaf", isCutOff: false });
  assert.equal(lostNames(paper.do(tick)), "");
  paper.now = 106;
  paper.beat(0);
  assert.match(lostNames(paper.do(tick)), /^b: it has stalled for 6 s/);
});

Deno.test("waiting long for others does not count as a lack of progress", () => {
  const paper = new Paper({ silenceSeconds: 60 });
  paper.join("a");
  for (paper.now = 0; paper.now < 3600; paper.now += 10) paper.beat(0);
  paper.join("b");
  paper.do({ kind: "tick" });
  assert.equal(paper.stage, "computing");
});

Deno.test("an interrupt finishes the open step, saves, and ends well", () => {
  const paper = begun();
  paper.offer("a", 0, 2);
  paper.do({ kind: "interrupt" });
  assert.equal(paper.stage, "computing");
  paper.step();
  paper.copy();
  paper.written();
  assert.ok(paper.state.stage.kind === "hashing" && paper.state.stage.isLast);
});

Deno.test("an interrupt during an evaluation or a comparison saves after it", () => {
  const evaluating = begun({ evaluation: { every: 1, microBatches: 1 } });
  evaluating.step();
  assert.equal(evaluating.stage, "evaluating");
  evaluating.do({ kind: "interrupt" });
  const losses = [{ microBatch: 0, lossSum: 1, tokens: 1 }];
  evaluating.do({ kind: "evaluated", member: "a", step: 1, losses });
  const comparing = begun({ hashEvery: 1, evaluation: { every: 1, microBatches: 1 } });
  comparing.step();
  comparing.do({ kind: "interrupt" });
  for (const paper of [evaluating, comparing]) {
    assert.equal(paper.stage, "hashing");
    paper.compare();
    assert.equal(paper.stage, "saving");
  }
});

Deno.test("an interrupt before training has begun ends the run at once", () => {
  const paper = new Paper();
  paper.join("a");
  paper.do({ kind: "interrupt" });
  assert.equal(paper.stage, "ended");
  assert.deepEqual(paper.do({ kind: "leave", member: "a" }), [{ do: "end" }]);
});

/** Nothing but steps. */
const longRun = { steps: 20, evaluation: { every: 0, microBatches: 0 } };

/** The ranges of the open step. */
function rangesOf({ state }: Paper): Ranges {
  assert.ok(state.stage.kind === "computing");
  return state.stage.ranges;
}

Deno.test("a lost member's sums are computed again, those of the living and those that were pulled are kept", () => {
  const paper = begun({ microBatches: 8, startWorkers: 4 });
  paper.join("c");
  paper.join("d");
  assert.deepEqual(rangesOf(paper), { a: [[0, 2]], b: [[2, 4]], c: [[4, 6]], d: [[6, 8]] });
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  const actions = paper.do({ kind: "leave", member: "b", error: "out of memory" });
  assert.equal(lostNames(actions), "b: out of memory");
  assert.deepEqual(rangesOf(paper), { a: [[0, 2], [2, 3]], c: [[4, 6], [3, 4]], d: [[6, 8]] });
  assert.equal(paper.state.generation, 2);
  assert.ok(isAwaited(paper.state, paper.state.members.get("a")!));
  paper.offer("a", 2, 3);
  paper.offer("c", 3, 4);
  paper.offer("c", 4, 6);
  assert.ok(paper.offer("d", 6, 8).some((action) => action.do === "reduce"));
  assert.deepEqual(workOf(paper.state)?.sums.map(({ member, lo, hi }) => [member, lo, hi]), [
    ["a", 0, 2],
    ["a", 2, 3],
    ["c", 3, 4],
    ["c", 4, 6],
    ["d", 6, 8],
  ]);
});

Deno.test("a member that is lost while its sums are pulled takes with it what was not pulled as a whole", () => {
  const lossAfter = (pulled: boolean) => {
    const paper = begun();
    paper.offer("a", 0, 2);
    paper.offer("b", 2, 4);
    if (pulled) paper.do({ kind: "pulled", lo: 2, hi: 4 });
    return { paper, actions: paper.do({ kind: "leave", member: "b" }) };
  };
  const half = lossAfter(false);
  assert.equal(half.paper.stage, "computing");
  assert.deepEqual(rangesOf(half.paper), { a: [[0, 2], [2, 4]] });
  assert.deepEqual(half.actions.find(({ do: what }) => what === "reconfigure"), {
    do: "reconfigure",
    sums: [{ member: "a", lo: 0, hi: 2 }],
  });
  const whole = lossAfter(true);
  assert.equal(whole.paper.stage, "reducing");
  const actions = whole.paper.averaged();
  const step = actions.find((action) => action.do === "report" && action.event.kind === "step");
  assert.match(
    JSON.stringify(step),
    /"computed":{"a":\[0,1\],"b":\[2,3\]}/,
    "who computed it, though it is gone",
  );
});

Deno.test("a commit that a lost member has not carried out is over when the others have", () => {
  const paper = begun();
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  paper.averaged();
  paper.do({ kind: "status", member: "a", step: 1, status: { phase: "ready", progress: 1 } });
  assert.equal(paper.state.step, 0);
  paper.do({ kind: "leave", member: "b" });
  assert.equal(paper.state.step, 1);
  assert.deepEqual(rangesOf(paper), { a: [[0, 4]] });
});

Deno.test("a lost member's part of an evaluation, a checkpoint and the hashes goes to the others", () => {
  const paper = begun({ steps: 1, evaluation: { every: 1, microBatches: 4 } });
  paper.step();
  paper.do({
    kind: "evaluated",
    member: "a",
    step: 1,
    losses: [0, 1].map((microBatch) => ({ microBatch, lossSum: 1, tokens: 1 })),
  });
  paper.join("c", {}, 1);
  paper.do({ kind: "leave", member: "b" });
  assert.deepEqual(orderFor(paper.state, "a"), {
    kind: "evaluate",
    step: 1,
    message: { ranges: [[0, 2], [2, 4]] },
  });
  paper.do({
    kind: "evaluated",
    member: "a",
    step: 1,
    losses: [2, 3].map((microBatch) => ({ microBatch, lossSum: 1, tokens: 1 })),
  });
  assert.deepEqual(
    orderFor(paper.state, "a")?.message,
    { writer: "a", copying: ["a"], members: ["a"], appliedStep: 1 },
    "there is no member to compare with",
  );
});

Deno.test("a worker that joins in mid-run gets a pinned state at the next boundary and is admitted at one where it has caught up", () => {
  const paper = begun(longRun);
  const status = (step: number) =>
    paper.do({ kind: "status", member: "c", step, status: { phase: "ready", progress: step } });
  assert.deepEqual(paper.join("c"), [{ do: "welcome", member: "c" }]);
  assert.equal(paper.state.members.size, 2);
  paper.step();
  assert.equal(paper.stage, "pinning");
  assert.deepEqual(
    orderFor(paper.state, "a"),
    { kind: "pin", step: 1, message: { donor: "b" } },
    "b writes no checkpoints",
  );
  const told = paper.do({ kind: "pinned", member: "b", step: 1 });
  assert.ok(told.some((action) => action.do === "tell" && action.candidate === "c"));
  assert.equal(paper.stage, "computing", "training continues meanwhile");
  paper.step();
  assert.equal(paper.stage, "computing");
  paper.do({ kind: "restored", member: "c", step: 1 });
  status(2);
  paper.step();
  assert.equal(paper.stage, "computing", "it is one step behind: the first time it is not waited for");
  assert.equal(paper.state.members.size, 2);
  status(3);
  paper.offer("a", 0, 2);
  paper.offer("b", 2, 4);
  paper.averaged();
  status(4);
  for (const member of ["a", "b"]) {
    paper.do({ kind: "status", member, step: 4, status: { phase: "ready", progress: 9 } });
  }
  assert.deepEqual(Object.keys(rangesOf(paper)), ["a", "b", "c"]);
  assert.equal(paper.state.generation, 2);
});

Deno.test("the second time a boundary waits for a newcomer, for one step at most; then it gets a newer state", () => {
  const paper = begun({ ...longRun, heartbeatSeconds: 0.1, silenceSeconds: 100 });
  const step = () => {
    paper.now += 5;
    paper.step();
  };
  paper.join("c");
  paper.step();
  paper.do({ kind: "pinned", member: "b", step: 1 });
  paper.do({ kind: "restored", member: "c", step: 1 });
  step();
  assert.equal(paper.stage, "computing");
  step();
  assert.equal(paper.stage, "admitting");
  paper.now += 4.9;
  paper.do({ kind: "tick" });
  assert.equal(paper.stage, "admitting");
  const late = paper.state;
  paper.now += 0.2;
  paper.do({ kind: "tick" });
  assert.equal(paper.stage, "pinning", "5 s are over");
  paper.state = late;
  paper.do({ kind: "status", member: "c", step: 3, status: { phase: "ready", progress: 1 } });
  assert.deepEqual(Object.keys(rangesOf(paper)), ["a", "b", "c"]);
});

Deno.test("a newcomer whose donor is lost gets another one", () => {
  const paper = begun(longRun);
  paper.join("c");
  paper.step();
  paper.do({ kind: "leave", member: "b" });
  assert.deepEqual(
    orderFor(paper.state, "a")?.message,
    { donor: "a" },
    "it was lost before it had pinned its state",
  );
  paper.do({ kind: "pinned", member: "a", step: 1 });
  paper.join("d");
  assert.equal(paper.state.candidates.get("c")?.source?.donor, "a");
  paper.do({ kind: "leave", member: "a" });
  assert.equal(paper.state.candidates.get("c")?.source, undefined);
});

Deno.test("messages of a lost member are ignored until it has joined again", () => {
  const paper = begun();
  paper.do({ kind: "leave", member: "b", error: "silence" });
  const before = paper.state;
  paper.offer("b", 2, 4);
  paper.do({ kind: "status", member: "b", step: 1, status: { phase: "ready", progress: 9 } });
  assert.deepEqual(paper.state, before);
  paper.join("b");
  assert.ok(paper.state.candidates.has("b"));
});

Deno.test("a name is free again when its member was silent for a while and is lost, not before", () => {
  const paper = begun();
  assert.match(reasons(paper.join("b", { nonce: "new" })), /there is a member b already/);
  paper.now = 1;
  assert.deepEqual(paper.join("b", { nonce: "new" }), [], "it may be dead: it is asked to wait, by silence");
  paper.do({ kind: "leave", member: "b", error: "gone" });
  paper.join("b", { nonce: "new" });
  assert.equal(paper.state.candidates.get("b")?.nonce, "new");
});

Deno.test("a worker that joins at the run's step is not admitted before its state was compared", () => {
  const paper = begun(longRun);
  paper.step();
  paper.join("c", { stateHash: "whatever" }, 1);
  paper.do({ kind: "status", member: "c", step: 2, status: { phase: "ready", progress: 1 } });
  paper.step();
  assert.equal(paper.stage, "pinning");
  assert.ok(!paper.state.members.has("c"));
});

Deno.test("a member that was lost before the last commit is not trusted to have its mean", () => {
  const paper = begun(longRun);
  paper.do({ kind: "leave", member: "b", error: "silence" });
  paper.offer("a", 0, 4);
  paper.averaged();
  paper.do({ kind: "leave", member: "a", error: "silence" });
  paper.join("b");
  assert.ok(paper.state.candidates.has("b"));
  paper.join("a");
  assert.ok(paper.state.members.has("a"));
});

Deno.test("the last member is lost in a commit: it is carried out when it comes back, done or not", () => {
  for (const step of [0, 1]) {
    const paper = new Paper({ startWorkers: 1 });
    paper.join("a");
    paper.offer("a", 0, 4);
    paper.averaged();
    paper.do({ kind: "leave", member: "a", error: "silence" });
    paper.join("stranger", { nonce: "x" }, 0);
    assert.ok(paper.state.candidates.has("stranger"), "its state is unknown");
    paper.join("a", {}, step);
    assert.equal(paper.stage, step === 0 ? "committing" : "pinning");
    assert.equal(paper.state.step, step);
  }
});

Deno.test("advance() changes neither the state nor the event that it is given", () => {
  const paper = begun();
  const freeze = (value: unknown): void => {
    if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
    Object.freeze(value);
    for (const inner of value instanceof Map ? value.values() : Object.values(value)) freeze(inner);
  };
  const before = paper.state;
  freeze(before);
  const members = new Map(before.members);
  paper.step();
  assert.equal(before.step, 0);
  assert.deepEqual(before.members, members);
});
