import assert from "node:assert/strict";
import { ConfigError, train } from "../../mod.ts";
import { Workplace } from "./support/runs.ts";

async function problemsOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    assert.ok(error instanceof ConfigError, `${error}`);
    return error.message;
  }
  assert.fail("nothing was wrong");
}

Deno.test("a folder that holds a run is not overwritten", async () => {
  await using place = await Workplace.open();
  const config = place.config("run", { train: { steps: 1 } });
  await train(config);
  const before = await Deno.readTextFile(`${place.run("run")}/summary.json`);
  assert.match(await problemsOf(train(config)), /holds a run already; .*--resume/);
  assert.equal(await Deno.readTextFile(`${place.run("run")}/summary.json`), before);
});

Deno.test("a launched run that would wait for workers of other machines is rejected, and leaves no folder", async () => {
  await using place = await Workplace.open();
  const attempt = train(place.config("run", { machine: { workers: 2, minWorkers: 3 } }));
  assert.match(
    await problemsOf(attempt),
    /machine.minWorkers: expected at most machine.workers 2, found 3; .* coordinator/,
  );
  assert.ok(![...Deno.readDirSync(place.folder)].some(({ name }) => name === "run"));
});

Deno.test("a text that is missing, empty or shorter than a window is rejected, and leaves no folder", async () => {
  await using place = await Workplace.open();
  const attempt = () => problemsOf(train(place.config("run")));
  await Deno.writeTextFile(place.text, "short");
  assert.match(await attempt(), /data.source: the training part of the text has \d bytes/);
  await Deno.writeTextFile(place.text, "");
  assert.match(await attempt(), /text.txt is empty/);
  await Deno.remove(place.text);
  assert.match(await attempt(), /no file, folder or known corpus called .*text.txt/);
  assert.deepEqual([...Deno.readDirSync(place.folder)], []);
});

Deno.test("what is no run can't be resumed, nor one of which all checkpoints are damaged", async () => {
  await using place = await Workplace.open();
  const resume = () => problemsOf(train(place.config("run"), { resume: true }));
  assert.match(await resume(), /there is no run in it/);
  await train(place.config("run", { train: { steps: 1 } }));
  await Deno.truncate(`${place.run("run")}/checkpoints/step-00000001/model.safetensors`, 9);
  assert.match(await resume(), /none of its checkpoints can be used \(steps 1\)/);
});

Deno.test("a run that ended before its first checkpoint begins again", async () => {
  await using place = await Workplace.open();
  const config = place.config("run", { train: { steps: 2 } });
  const { paramsHash } = await train(config);
  await Deno.remove(`${place.run("run")}/checkpoints`, { recursive: true });
  await Deno.remove(`${place.run("run")}/events.jsonl`);
  assert.equal((await train(config, { resume: true })).paramsHash, paramsHash);
  await Deno.remove(`${place.run("run")}/checkpoints`, { recursive: true });
  await Deno.remove(`${place.run("run")}/events.jsonl`);
  await Deno.remove(`${place.run("run")}/metrics.jsonl`);
  assert.equal((await train(config, { resume: true })).paramsHash, paramsHash);
});
