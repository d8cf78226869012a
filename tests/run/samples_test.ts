/** Samples while a model trains, in whole runs. @module */

import assert from "node:assert/strict";
import { initBackend, train } from "../../mod.ts";
import type { ConfigInput } from "../../src/config/config.ts";
import type { RunHappening } from "../../src/run/folder/events.ts";
import { continueTexts } from "../../src/run/replica/samples.ts";
import { openModel } from "../../src/trained/model.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runFlash } from "./support/flash_runs.ts";
import { Workplace } from "./support/runs.ts";

const PROMPTS = ["the quick", "é, "];

/** What a run has written of samples. */
async function samplesOf(folder: string): Promise<(RunHappening & { event: "sample" })[]> {
  const lines = (await Deno.readTextFile(`${folder}/events.jsonl`)).trim().split("\n");
  return lines.map((line) => JSON.parse(line)).filter(({ event }) => event === "sample");
}

/** Trains, with the prompts or without. */
async function trained(place: Workplace, name: string, samples: string[] | undefined, changes: ConfigInput) {
  const { paramsHash } = await train(place.config(name, { ...changes, eval: { samples } }));
  const all = await samplesOf(place.run(name));
  return { paramsHash, samples: all.map(({ step, prompt, text }) => ({ step, prompt, text })) };
}

Deno.test("samples are the same with no worker, one and three, and do not change the parameters", async () => {
  await using place = await Workplace.open();
  const without = await trained(place, "without", [], {});
  const alone = await trained(place, "alone", PROMPTS, {});
  assert.equal(alone.paramsHash, without.paramsHash);
  assert.deepEqual(without.samples, []);
  const made = alone.samples.map(({ step, prompt }) => [step, prompt]);
  assert.deepEqual(made, [3, 6].flatMap((step) => PROMPTS.map((prompt) => [step, prompt])));
  assert.equal(new Set(alone.samples.map(({ text }) => text)).size, 4);
  for (const workers of [1, 3]) {
    assert.deepEqual(await trained(place, `${workers}`, PROMPTS, { machine: { workers } }), alone);
  }
});

Deno.test("a worker that is killed while it samples costs its samples and nothing else", async () => {
  await using place = await Workplace.open();
  await using server = await startNatsServer();
  const { paramsHash } = await trained(place, "alone", [], {});
  const samples = Array.from({ length: 16 }, (_, i) => "the quick brown ".slice(0, i + 1)); // each length takes a while
  const dist = { heartbeatSeconds: 0.5, patienceSeconds: 3, silenceSeconds: 6 };
  const config = place.config("killed", {
    dist,
    eval: { samples },
    machine: { run: "killed", name: "here" },
  });
  const fault = { point: "before-forward", step: 4, way: "SIGKILL" } as const; // right after the evaluation
  const { summary, lines } = await runFlash(server.url, config, [{ member: "a" }, { member: "b", fault }]);
  assert.equal(summary.paramsHash, paramsHash);
  assert.ok(
    lines.includes("no samples of step 3 from b: the member was gone before they were done"),
    lines.join("\n"),
  );
  const made = (await samplesOf(place.run("killed"))).map((
    { step, member, prompt },
  ) => [step, member, prompt]);
  assert.deepEqual(made, samples.map((prompt) => [6, "a", prompt]));
});

Deno.test("where parameters are averaged, a sample is of those in the checkpoint: it can be made again", async () => {
  await using place = await Workplace.open();
  const dist = { mode: "average", localSteps: 3 } as const;
  const { samples } = await trained(place, "average", undefined, { dist, machine: { workers: 2 } });
  assert.deepEqual(samples.map(({ step }) => step), [3, 6]);
  const last = samples[1];
  assert.equal(last.prompt.length, 24, "the first words of the validation part, a window at most");
  await initBackend({ threads: 1 });
  const { model } = await openModel(place.run("average"), assert.fail);
  const prompts = [new TextEncoder().encode(last.prompt)];
  const texts = await continueTexts(model, prompts, { seed: 1, step: 6, beforeEach: () => {} });
  assert.deepEqual(texts, [last.text]);
  model.dispose();
});
