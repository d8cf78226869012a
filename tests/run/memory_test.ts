import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { descendants, Workplace } from "./runs.ts";

/** Resident memory of the coordinator and the workers by name. */
function residents(): Map<string, number> {
  const children = descendants(Deno.pid).filter(({ command }) => / \S*child\.ts /.test(command));
  return new Map(children.map(({ command, resident }) => [command.split(" ").at(-1)!, resident]));
}

// V8 and malloc keep what was freed for a while: until about step 200 a process that leaks nothing grows by some 50 MB,
// afterwards it moves by 15. A gradient of this model is 0.4 MB: one that is kept per step would be 120 MB.
const SLACK = 40e6;

Deno.test("the memory of workers and coordinator is flat from step 200 to step 500", async () => {
  await using place = await Workplace.open();
  let early = new Map<string, number>(), late = new Map<string, number>();
  const changes = {
    model: { dim: 64, queryKeyDim: 16 },
    train: { steps: 500, batch: 4 },
    eval: { every: 50 },
    checkpoint: { every: 50 },
    machine: { workers: 2, name: "here" },
  };
  await train(place.config("run", changes), {
    onStep: ({ step }) => {
      if (step === 200) early = residents();
      if (step === 499) late = residents();
    },
  });
  assert.deepEqual([...late.keys()].sort(), ["coordinator", "here-0", "here-1"]);
  for (const [name, resident] of late) {
    const growth = resident - early.get(name)!;
    assert.ok(growth < SLACK, `${name} grew by ${Math.round(growth / 1e6)} MB`);
  }
});
