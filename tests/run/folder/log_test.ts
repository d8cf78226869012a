/** @module */

import assert from "node:assert/strict";
import type { CommittedStep } from "../../../src/dist/replica/plan.ts";
import { RunFolder } from "../../../src/run/folder/run_folder.ts";
import { RunLog } from "../../../src/run/folder/log.ts";

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
