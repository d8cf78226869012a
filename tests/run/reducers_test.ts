/** Reducers of whole runs, as a user starts them. @module */

import assert from "node:assert/strict";
import { start } from "./support/commands.ts";
import { descendants, metricsOf, until, Workplace } from "./support/runs.ts";

const SMALL = [
  ...["--model.dim=16", "--model.depth=2", "--model.groupSize=8", "--model.queryKeyDim=8"],
  ...["--data.seqLen=24", "--train.batch=6", "--eval.windows=5", "--steps=60"],
];

const hashOf = (folder: string): string =>
  JSON.parse(Deno.readTextFileSync(`${folder}/summary.json`)).paramsHash;

Deno.test("deno task train --reducers 2, one killed and started again, and a coordinator with reducers: the bits of one process", async () => {
  await using place = await Workplace.open();
  const settings = [...SMALL, `--data=${place.text}`];
  const alone = start("train", ...settings, "--workers=0", `--out=${place.run("alone")}`);
  assert.equal((await alone.ended).code, 0);
  const expected = hashOf(place.run("alone"));

  const run = start(
    ...["train", ...settings, "--workers=2", "--reducers=2", `--out=${place.run("run")}`] as const,
  );
  await until("a step", () => {
    try {
      return metricsOf(place.run("run")).steps.length > 0;
    } catch {
      return false; // not there yet, or half a line
    }
  });
  const reducer = descendants(run.pid).find(({ command }) => command.endsWith("child.ts reducer-1"));
  Deno.kill(reducer!.pid, "SIGKILL");
  const ended = await run.ended;
  assert.equal(ended.code, 0);
  assert.match(ended.stderr, /reduces from the next step on, reducers: 2/);
  assert.match(ended.stderr, /reducer-1: the process ended with SIGKILL; restarting it/);
  assert.equal(hashOf(place.run("run")), expected);

  const hub = start(
    ...["coordinator", ...settings, "--run=demo", "--min-workers=2", `--out=${place.run("hub")}`] as const,
  );
  await until("it says how to join", () => hub.stdout().includes("--join"));
  const [, url] = /--join (\S+) --run demo/.exec(hub.stdout())!;
  const reducers = [1, 2].map(() => start("coordinator", "--reducer", "--nats", url, "--run=demo"));
  await until("they average", () => hub.stderr().includes("reducers: 2"));
  const here = [`--data=${place.text}`, `--out=${place.run("guest")}`];
  const joined = start("train", "--join", url, "--run=demo", "--workers=2", ...here);
  for (const command of [joined, hub, ...reducers]) assert.equal((await command.ended).code, 0);
  assert.equal(hashOf(place.run("hub")), expected);
  assert.match(reducers[0].stdout(), /reduces a share of the vectors/);
});
