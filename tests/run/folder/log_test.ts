/** @module */

import assert from "node:assert/strict";
import type { CommittedStep } from "../../../src/dist/replica/plan.ts";
import { RunFolder } from "../../../src/run/folder/run_folder.ts";
import { type RunEvent, RunLog } from "../../../src/run/folder/log.ts";
import { membersLineSchema } from "../../../src/run/folder/members.ts";
import { replayRecordSchema } from "../../../src/run/folder/replay_record.ts";

const committed = (step: number, changes: Partial<CommittedStep> = {}): CommittedStep => ({
  step,
  loss: 10 - step,
  tokens: 100,
  gradNorm: 1,
  applied: true,
  seconds: 2,
  bytesSent: 0,
  bytesReceived: 0,
  workers: 3,
  generation: 1,
  computed: {},
  samples: [],
  ...changes,
});

/** A log of a run of some steps, with an evaluation after the second. */
async function logOf(steps: number) {
  const path = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  const folder = RunFolder.at(path);
  const open = () => new RunLog(folder, () => 0.1, () => {});
  const log = open();
  for (let step = 1; step <= steps; step++) {
    log.handle({ kind: "step", committed: committed(step) });
    if (step === 2) log.handle({ kind: "evaluated", step, valLoss: 7 });
  }
  const lines = () => Deno.readTextFileSync(`${path}/metrics.jsonl`);
  return {
    folder,
    path,
    open,
    log,
    lines,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

Deno.test("a successor knows what is on record up to its step, and puts the rest aside", async () => {
  await using run = await logOf(4);
  run.log[Symbol.dispose]();
  using successor = run.open();
  const { elapsed, ...record } = successor.continueFrom(3);
  assert.deepEqual(record, {
    tokens: 300,
    loss: 7,
    evaluation: { step: 2, valLoss: 7 },
    skips: 0,
    workers: 3,
    lastStep: 3,
  });
  assert.ok(elapsed >= 2, `${elapsed} s`);
  assert.match(
    Deno.readTextFileSync(`${run.path}/metrics.discarded.jsonl`),
    /^\{"at":"[^"]*","step":4,[^\n]*\n$/,
  );
  successor.handle({ kind: "step", committed: committed(4, { applied: false, loss: NaN }) });
  const after = run.folder.record();
  assert.deepEqual([after.tokens, after.skips, after.evaluation?.step], [400, 1, 2]);
  assert.ok(Number.isNaN(after.loss) && after.elapsed >= elapsed + 2);
});

Deno.test("who was replaced can't write into the run's metrics any more", async () => {
  await using run = await logOf(3);
  using successor = run.open();
  successor.continueFrom(3);
  const before = run.lines();
  run.log.handle({ kind: "step", committed: committed(4) });
  run.log[Symbol.dispose]();
  assert.equal(run.lines(), before);
});

Deno.test("losses that are no numbers are on record as such; null is what flashmob 0.1 wrote for NaN", async () => {
  await using run = await logOf(2);
  run.log.handle({
    kind: "step",
    committed: committed(3, { applied: false, loss: NaN, gradNorm: Infinity }),
  });
  run.log.handle({ kind: "evaluated", step: 3, valLoss: -Infinity });
  run.log[Symbol.dispose]();
  const lines = run.lines().trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([lines[3].loss, lines[3].gradNorm, lines[4].valLoss], ["NaN", "Infinity", "-Infinity"]);
  assert.deepEqual(run.folder.record().evaluation, { step: 3, valLoss: -Infinity });

  const old = run.lines().replace('"NaN"', "null").replace('"-Infinity"', "null");
  Deno.writeTextFileSync(`${run.path}/metrics.jsonl`, old);
  const { loss, evaluation } = run.folder.record();
  assert.deepEqual([loss, evaluation], [NaN, { step: 3, valLoss: NaN }]);
  assert.deepEqual(run.folder.validationLosses(), new Map([[2, 7], [3, NaN]]));
});

Deno.test("a state in which a step found no number counts as one without a loss, unless it was evaluated", async () => {
  await using run = await logOf(4); // step 2 was evaluated
  for (const step of [5, 6]) run.log.handle({ kind: "step", committed: committed(step, { applied: false }) });
  run.log.handle({ kind: "step", committed: committed(7) });
  run.log.handle({ kind: "step", committed: committed(8, { applied: false }) });
  run.log.handle({ kind: "evaluated", step: 8, valLoss: 3 });
  run.log[Symbol.dispose]();
  const losses = [...run.folder.validationLosses()].sort(([a], [b]) => a - b);
  assert.deepEqual(losses, [[2, 7], [4, NaN], [5, NaN], [6, NaN], [7, NaN], [8, 3]]);
});

Deno.test("the summary keeps what is no number", async () => {
  await using run = await logOf(0);
  const outcome = {
    ...{ steps: 0, loss: NaN, valLoss: Infinity, tokens: 0, bytesSent: 0, bytesReceived: 0 },
  };
  await run.log.finish({ ...outcome, stateBytes: 0, paramsHash: "", dropped: {}, interrupted: true });
  run.log[Symbol.dispose]();
  const { loss, valLoss } = JSON.parse(Deno.readTextFileSync(`${run.path}/summary.json`));
  assert.deepEqual([loss, valLoss], ["NaN", "Infinity"]);
});

Deno.test("that a model has diverged is said once, and again when it does so again", async () => {
  await using run = await logOf(0);
  const told: string[] = [];
  using log = new RunLog(
    run.folder,
    () => 0.1,
    (event) => event.kind === "happened" && event.text && told.push(event.text),
  );
  [2, NaN, NaN, Infinity, 3, NaN].forEach((valLoss, i) =>
    log.handle({ kind: "evaluated", step: i, valLoss })
  );
  assert.deepEqual(told.map((text) => /after step (\d) its validation loss is NaN/.exec(text)?.[1]), [
    "1",
    "5",
  ]);
  assert.match(told[0], /lower optimizer.learningRate, .*optimizer.clipNorm/);
});

Deno.test("half a line of a process that was killed is put aside", async () => {
  await using run = await logOf(2);
  run.log[Symbol.dispose]();
  Deno.writeTextFileSync(`${run.path}/metrics.jsonl`, '{"step":3,"lo', { append: true });
  assert.equal(run.folder.record().tokens, 200);
  using successor = run.open();
  successor.continueFrom(2);
  assert.ok(run.lines().endsWith('"step":2,"valLoss":7}\n'));
});

/** The lines of a file in a log's folder. */
// deno-lint-ignore no-explicit-any
const linesIn = (path: string, name: string): any[] =>
  Deno.readTextFileSync(`${path}/${name}`).trimEnd().split("\n").map((line) => JSON.parse(line));

Deno.test("a step's record has ranges, and what changed since the step before; its metrics have neither", async () => {
  await using run = await logOf(1);
  run.log.handle({ kind: "left", member: "a", members: 2, error: "silence" });
  run.log.handle({ kind: "left", member: "b", members: 1 });
  run.log.handle({ kind: "joining", member: "c", donor: "d", step: 1 });
  run.log.handle({ kind: "residualsDropped", holder: "a", reason: "it left" });
  const computed = { d: [0, 1, 2, 5], c: [3, 4], e: [] }, samples = [7, 8, 9, null];
  run.log.handle({ kind: "step", committed: committed(2, { computed, samples, generation: 3 }) });
  run.log.handle({ kind: "step", committed: committed(3) });
  run.log[Symbol.dispose]();
  const [, second, third] = linesIn(run.path, "record.jsonl").map((line) => replayRecordSchema.parse(line));
  assert.deepEqual(second, {
    step: 2,
    generation: 3,
    computed: { d: [[0, 3], [5, 6]], c: [[3, 5]], e: [] },
    samples,
    donors: { c: "d" },
    lost: ["a"],
    residualsDropped: ["a"],
  });
  assert.deepEqual(third, { step: 3, generation: 1, computed: {}, samples: [] });
  const [, metrics] = linesIn(run.path, "metrics.jsonl");
  assert.ok(!("computed" in metrics) && !("samples" in metrics));
  assert.ok(Math.abs(Date.now() - Date.parse(metrics.at)) < 60_000, metrics.at);
});

Deno.test("events say the step that they follow, and a listener gets what the file has", async () => {
  await using run = await logOf(0);
  const told: RunEvent[] = [];
  using log = new RunLog(run.folder, () => 0.1, (event) => void told.push(event));
  log.handle({ kind: "joined", member: "a", isNear: false, members: 1 });
  log.handle({ kind: "waiting", reason: "waiting for workers" });
  log.handle({ kind: "step", committed: committed(1, { applied: false, reason: "a loss is not finite" }) });
  log.handle({ kind: "left", member: "a", members: 0, error: "silence" });
  log.handle({ kind: "collecting", step: 1, member: "b", share: 0.5 });
  log.record({ event: "sample", step: 1, member: "b", prompt: "The ", text: "end" });
  const events = linesIn(run.path, "events.jsonl");
  assert.deepEqual(events.map(({ event, step }) => [event, step]), [
    ["joined", 0],
    ["skipped", 1],
    ["lost", 1],
    ["sample", 1],
  ]);
  const happened = told.flatMap((event) => event.kind === "happened" ? event : []);
  assert.deepEqual(happened.map(({ event }) => event), events);
  assert.deepEqual(happened.map(({ text }) => text), [
    "a joined, members: 1",
    "step 1 was skipped: a loss is not finite",
    "a left (silence), members: 0",
    "step 1: The  | end",
  ]);
  assert.deepEqual(told.flatMap((event) => event.kind === "status" ? event.text : []), [
    "waiting for workers",
    "collects the checkpoint of step 1 from b: 50 %",
  ]);
});

Deno.test("how members spend their time is a line; later ones are cut off like those of the other files", async () => {
  await using run = await logOf(0);
  const usage = {
    ...{
      device: "cpu",
      range: [0, 4] as [number, number],
      computing: 6.123456,
      exchanging: 3.0004,
      waiting: 1,
    },
    ...{ bytesSent: 1, bytesReceived: 2, memory: 3, heardAgo: 0.2501 },
  };
  for (const step of [1, 2, 3]) {
    run.log.handle({ kind: "step", committed: committed(step) });
    run.log.handle({ kind: "usage", seconds: 10.000300000000001, members: { a: usage } });
  }
  run.log[Symbol.dispose]();
  using successor = run.open();
  successor.continueFrom(2);
  for (const name of ["members.jsonl", "record.jsonl", "metrics.jsonl"]) {
    assert.deepEqual(linesIn(run.path, name).map(({ step }) => step), [1, 2], name);
    assert.equal(linesIn(run.path, name.replace(".", ".discarded."))[0].step, 3, name);
  }
  const [line] = linesIn(run.path, "members.jsonl").map((line) => membersLineSchema.parse(line));
  const rounded = { ...usage, computing: 6.123, exchanging: 3, heardAgo: 0.25 };
  assert.deepEqual([line.seconds, line.members], [10, { a: rounded }], "to milliseconds");
});

Deno.test("the record of 100,000 steps is read in seconds", async () => {
  await using run = await logOf(1);
  run.log[Symbol.dispose]();
  const { step: _, ...common } = linesIn(run.path, "metrics.jsonl")[0];
  const lines = Array.from({ length: 100_000 }, (_, i) => JSON.stringify({ step: i + 1, ...common }));
  Deno.writeTextFileSync(`${run.path}/metrics.jsonl`, lines.join("\n") + "\n");
  const startedAt = performance.now();
  assert.equal(run.folder.record().tokens, 10_000_000);
  run.folder.discardAfter(99_990);
  assert.equal(run.folder.record().lastStep, 99_990);
  const seconds = (performance.now() - startedAt) / 1000;
  assert.ok(seconds < 20, `${seconds} s`); // 1 s on an idle machine
});
