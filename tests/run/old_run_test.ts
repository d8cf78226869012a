import assert from "node:assert/strict";
import { start } from "./support/commands.ts";
import { metricsOf, recordOf, Workplace } from "./support/runs.ts";

/** SHA-256 of the parameters that the flashmob that wrote the fixture had after step 8. */
const AFTER_STEP_8 = "02b5954fe908e61def85c19dee63bc538d67259d1fd23359ce67d5393d1c1bbf";
/** The same where its schedule was linear over 7 steps. */
const SCHEDULED_AFTER_STEP_8 = "9518825141b0211d1e6e098a0d73c7cb102c429796cb531ee22a7e34f1d32142";
const FIXTURE = "tests/fixtures/run-0.1";

/** Replaces a text in a file. */
async function rewrite(path: string, from: string, to: string): Promise<void> {
  await Deno.writeTextFile(path, (await Deno.readTextFile(path)).replace(from, to));
}

for (const workers of [0, 2]) {
  Deno.test(`a run folder of flashmob 0.1 is continued bit for bit, workers: ${workers}`, async () => {
    await using place = await Workplace.open();
    await new Deno.Command("cp", { args: ["-r", `${FIXTURE}/run`, place.run("run")] }).output();
    const args = ["--resume", place.run("run"), `--data=${FIXTURE}/book.txt`, "--steps=8"];
    const { code, stderr } = await start("train", ...args, `--workers=${workers}`).ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /dist\.rounding: dropped, since int8 always rounds to nearest/);
    assert.doesNotMatch(await Deno.readTextFile(`${place.run("run")}/config.yaml`), /rounding/);
    const summary = JSON.parse(await Deno.readTextFile(`${place.run("run")}/summary.json`));
    assert.equal(summary.paramsHash, AFTER_STEP_8);
    assert.deepEqual(metricsOf(place.run("run")).steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.deepEqual(recordOf(place.run("run")).map(({ step }) => step), [5, 6, 7, 8]);
    const events = (await Deno.readTextFile(`${place.run("run")}/events.jsonl`)).trim().split("\n");
    assert.deepEqual(JSON.parse(events[0]).event, "resumed");
    assert.deepEqual(JSON.parse(events.at(-1)!).event, "ended");
  });
}

Deno.test("a schedule of flashmob 0.1, which had no floor, comes down to 0 as it did, with the same bits", async () => {
  await using place = await Workplace.open();
  const run = place.run("run");
  await new Deno.Command("cp", { args: ["-r", `${FIXTURE}/run`, run] }).output();
  await rewrite(`${run}/config.yaml`, "kind: constant", "kind: linear\n    steps: 7");
  await rewrite(`${run}/checkpoints/step-00000004/state.json`, '"constant"', '"linear", "steps": 7');
  const args = ["--resume", run, `--data=${FIXTURE}/book.txt`, "--steps=8", "--workers=0"];
  const { code, stderr } = await start("train", ...args).ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /the learning rate's schedule ends with step 7: after it the rate is 0;/);
  assert.doesNotMatch(stderr, /schedule\.\w+ is/);
  assert.match(await Deno.readTextFile(`${run}/config.yaml`), /^ {4}floor: 0$/m);
  const { paramsHash } = JSON.parse(await Deno.readTextFile(`${run}/summary.json`));
  assert.equal(paramsHash, SCHEDULED_AFTER_STEP_8);
});

Deno.test("a run folder of flashmob 0.1 that was rounded stochastically is refused, and stays as it is", async () => {
  await using place = await Workplace.open();
  const config = `${place.run("run")}/config.yaml`;
  await new Deno.Command("cp", { args: ["-r", `${FIXTURE}/run`, place.run("run")] }).output();
  const text = (await Deno.readTextFile(config)).replace("rounding: nearest", "rounding: stochastic");
  await Deno.writeTextFile(config, text);
  const { code, stderr } = await start("train", "--resume", place.run("run")).ended;
  assert.equal(code, 2, stderr);
  assert.match(
    stderr,
    /dist\.rounding: found "stochastic", but it was removed: .*; delete it to continue without it/,
  );
  assert.equal(await Deno.readTextFile(config), text);
});

Deno.test("text is generated from a run folder of flashmob 0.1", async () => {
  const { code, stdout, stderr } = await start(
    "generate",
    `${FIXTURE}/run`,
    ...["--prompt=The worker ", "--tokens=8"],
  ).ended;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^The worker /);
});
