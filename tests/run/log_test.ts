/** @module */

import assert from "node:assert/strict";
import type { CommittedStep } from "../../src/dist/plan.ts";
import { RunFolder } from "../../src/run/folder.ts";
import { RunLog } from "../../src/run/log.ts";

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
    log.hear({ kind: "step", committed: committed(step) });
    if (step === 2) log.hear({ kind: "evaluated", step, valLoss: 7 });
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

Deno.test("who takes over knows what is on record up to its step, and puts the rest aside", async () => {
  await using run = await logOf(4);
  run.log[Symbol.dispose]();
  using heir = run.open();
  const { elapsed, ...record } = heir.takeOver(3);
  assert.deepEqual(record, {
    tokens: 300,
    loss: 7,
    evaluation: { step: 2, valLoss: 7 },
    skips: 0,
    workers: 3,
    lastStep: 3,
  });
  assert.ok(elapsed >= 2, `${elapsed} s`);
  assert.match(Deno.readTextFileSync(`${run.path}/metrics.discarded.jsonl`), /^\{"step":4,[^\n]*\n$/);
  heir.hear({ kind: "step", committed: committed(4, { applied: false, loss: NaN }) });
  const after = run.folder.record();
  assert.deepEqual([after.tokens, after.skips, after.evaluation?.step], [400, 1, 2]);
  assert.ok(Number.isNaN(after.loss) && after.elapsed >= elapsed + 2);
});

Deno.test("who was replaced can't write into the run's metrics any more", async () => {
  await using run = await logOf(3);
  using heir = run.open();
  heir.takeOver(3);
  const before = run.lines();
  run.log.hear({ kind: "step", committed: committed(4) });
  run.log[Symbol.dispose]();
  assert.equal(run.lines(), before);
});

Deno.test("half a line of a process that was killed is put aside", async () => {
  await using run = await logOf(2);
  run.log[Symbol.dispose]();
  Deno.writeTextFileSync(`${run.path}/metrics.jsonl`, '{"step":3,"lo', { append: true });
  assert.equal(run.folder.record().tokens, 200);
  using heir = run.open();
  heir.takeOver(2);
  assert.ok(run.lines().endsWith('{"step":2,"valLoss":7}\n'));
});
