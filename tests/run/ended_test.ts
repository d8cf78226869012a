/** A launched run that is ended in every way and resumed each time: nothing is lost. @module */

import assert from "node:assert/strict";
import { endedRun, type Way } from "../soak/ended.ts";
import { start } from "./support/commands.ts";
import { Workplace } from "./support/runs.ts";

const WAYS: Way[] = ["all TERM", "some TERM", "closed output", "all HUP", "two starts"];

Deno.test("a launched run ended by signals to all or some of its processes, a closed output and two starts has the same bits", async () => {
  await using place = await Workplace.open();
  const changes = { train: { steps: 250, batch: 4 }, eval: { every: 0 }, checkpoint: { every: 1000 } };
  const machine = { workers: 2, name: "here", backend: "cpu" } as const;
  const config = place.config("run", { ...changes, machine });
  const { summary, counts } = await endedRun(config, 3, new AbortController().signal, WAYS);
  assert.ok(Object.keys(counts).length >= 4, JSON.stringify(counts));
  const alone = place.config("alone", { ...changes, machine: { ...machine, workers: 0 } });
  await Deno.writeTextFile(`${place.folder}/alone.json`, JSON.stringify(alone)); // JSON is YAML
  const { code, stderr } = await start("train", `${place.folder}/alone.json`).ended;
  assert.equal(code, 0, stderr);
  const expected = JSON.parse(Deno.readTextFileSync(`${place.run("alone")}/summary.json`));
  assert.equal(summary.paramsHash, expected.paramsHash);
});
