import assert from "node:assert/strict";
import { ConfigError, train } from "../../mod.ts";
import { Workplace } from "./runs.ts";

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

Deno.test("a text that is missing, empty or shorter than a window is refused, and leaves no folder", async () => {
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

Deno.test("a run without a checkpoint can't be resumed", async () => {
  await using place = await Workplace.open();
  const found = await problemsOf(train(place.config("nothing"), { resume: true }));
  assert.match(found, /there is no checkpoint in it/);
});

Deno.test("a checkpoint of another model is refused by name", async () => {
  await using place = await Workplace.open();
  await train(place.config("run", { train: { steps: 1 } }));
  const other = place.config("run", { model: { dim: 32 } });
  await assert.rejects(train(other, { resume: true }), /model of other shapes/);
});
