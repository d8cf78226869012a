/** Runs whose model diverges: losses that are no numbers are on record, and nothing good is lost to them. @module */

import assert from "node:assert/strict";
import { checkpointSteps } from "../../src/checkpoint/checkpoint.ts";
import { RunFolder } from "../../src/run/folder/run_folder.ts";
import { SMALL, start, train } from "./support/commands.ts";
import { metricsOf, Workplace } from "./support/runs.ts";

/** A run of two sound steps, each saved. */
async function soundRun(place: Workplace, ...args: string[]): Promise<string> {
  const all = ["--backend=cpu", "--workers=0", "--steps=2", "--checkpoint.every=1", ...args];
  const { code, stderr } = await train(place, "run", ...all).ended;
  assert.equal(code, 0, stderr);
  return place.run("run");
}

/** A rate at which the parameters leave float32 at once. */
const DIVERGING = ["--backend=cpu", "--optimizer.learningRate=1e30"];

for (const workers of [0, 1]) {
  Deno.test(`a run that diverges ends in order, says so, and keeps its last sound checkpoint, workers: ${workers}`, async () => {
    await using place = await Workplace.open();
    const folder = await soundRun(place, "--eval.every=2", "--checkpoint.keepLast=1");
    const args = ["--resume", folder, ...DIVERGING, `--workers=${workers}`];
    const { code, stdout, stderr } = await start("train", ...args, "--steps=6").ended;
    assert.equal(code, 0, stderr);
    assert.match(stdout, /step 4: validation loss NaN nats per token/);
    assert.match(stdout, /done after step 6: loss NaN, validation loss NaN/);
    assert.equal(stderr.split("the model has diverged: after step 4").length, 2, stderr);
    assert.deepEqual(await checkpointSteps(`${folder}/checkpoints`), [6, 2]);
    assert.equal(metricsOf(folder).evaluations.at(-1)!.valLoss, "NaN" as unknown);
    assert.ok(Number.isNaN(RunFolder.at(folder).record().evaluation!.valLoss));
    const shown = await start("train", ...args, "--steps=8", "--json").ended;
    assert.equal(shown.code, 0, shown.stderr);
    const last = JSON.parse(shown.stdout.trimEnd().split("\n").at(-1)!);
    assert.deepEqual([last.summary.loss, last.summary.valLoss], ["NaN", "NaN"]);
  });
}

Deno.test("steps that are skipped, one after the other, push out no sound checkpoint before anybody has evaluated", async () => {
  await using place = await Workplace.open();
  const folder = await soundRun(place, "--eval.every=0", "--checkpoint.keepLast=2");
  const args = ["--resume", folder, ...DIVERGING, "--workers=0", "--steps=50", "--train.maxSkips=4"];
  const { code, stderr } = await start("train", ...args).ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /4 steps in a row were skipped.*a lower learning rate/);
  assert.deepEqual(await checkpointSteps(`${folder}/checkpoints`), [6, 2]);
});

Deno.test("a model that has diverged is evaluated, and generates nothing; both say why", async () => {
  await using place = await Workplace.open();
  const args = ["--workers=0", "--steps=2", ...DIVERGING];
  assert.equal((await train(place, "run", ...args).ended).code, 0);
  const evaluate = (...args: string[]) =>
    start("evaluate", place.run("run"), `--data=${place.text}`, ...args).ended;
  assert.match((await evaluate()).stdout, /^loss NaN nats, NaN bits per byte, perplexity NaN/);
  assert.equal(JSON.parse((await evaluate("--json")).stdout).loss, "NaN");
  const { code, stderr } = await start("generate", place.run("run"), "--prompt=a").ended;
  assert.equal(code, 1);
  assert.match(stderr, /The logit of token 0 is NaN: the model's weights are broken/);
});

Deno.test("a rate that is no number is rejected, with its flag", async () => {
  await using place = await Workplace.open();
  const path = `${place.folder}/config.yaml`;
  await Deno.writeTextFile(path, "optimizer: { learningRate: .nan, weightDecay: -.inf }\n");
  const { code, stderr } = await start("train", path, ...SMALL, `--data=${place.text}`).ended;
  assert.equal(code, 2);
  assert.match(stderr, /optimizer.learningRate: expected a number above 0, found "NaN"/);
  assert.match(stderr, /optimizer.weightDecay: expected a number of at least 0, found "-Infinity"/);
});
