import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { Growth } from "../dist/support/growth.ts";
import { descendants, Workplace } from "./support/runs.ts";

// V8 and malloc keep what was freed for a while: until about step 200 a process that leaks nothing grows by some 50 MB,
// afterwards it moves by 15. A gradient of this model is 0.4 MB: one that is kept per step would be 100 MB from then on.
const SLACK = 40e6;

Deno.test("the memory of workers and coordinator is flat from step 200 to step 500", async () => {
  await using place = await Workplace.open();
  const growth = new Growth();
  const changes = {
    model: { dim: 64, queryKeyDim: 16 },
    train: { steps: 500, batch: 4 },
    eval: { every: 50 },
    checkpoint: { every: 50 },
    machine: { workers: 2, name: "here" },
  };
  await train(place.config("run", changes), {
    onStep: ({ step }) => {
      if (step < 100 || step % 10 > 0 || step === 500) return;
      const children = descendants(Deno.pid).filter(({ command }) => / \S*child\.ts /.test(command));
      growth.look(children.map(({ pid }) => pid));
    },
  });
  assert.equal(growth.settled, 3, "a coordinator and two workers");
  assert.ok(growth.most < SLACK, `grew by ${growth.most}; resident memory in MB:\n${growth}`);
});
