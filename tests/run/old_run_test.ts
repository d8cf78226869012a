import assert from "node:assert/strict";
import { start } from "./support/commands.ts";
import { Workplace } from "./support/runs.ts";

/** SHA-256 of the parameters that the flashmob that wrote the fixture had after step 8. */
const AFTER_STEP_8 = "02b5954fe908e61def85c19dee63bc538d67259d1fd23359ce67d5393d1c1bbf";
const FIXTURE = "tests/fixtures/run-0.1";

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
  });
}

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
