import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { Growth } from "../dist/support/growth.ts";
import { descendants, Workplace } from "./support/runs.ts";

// V8 and malloc keep what was freed for a while, malloc in huge pages that fill slowly: until about step 1,400 a worker that leaks
// nothing grows by some 70 MB, in the thousand steps after that by 8; the coordinator by up to 16, when V8 extends its heap (over
// 12,000 steps it ends at 166 MB and stays there). A gradient of this model is 0.4 MB: one that is kept per step would be 300 MB.
const SLACK = 30e6;
const STEPS = 2500;

Deno.test("the memory of workers and coordinator is flat from step 1,400 to step 2,500", async () => {
  await using place = await Workplace.open();
  const growth = new Growth();
  const changes = {
    model: { dim: 64, queryKeyDim: 16 },
    train: { steps: STEPS, batch: 4 },
    eval: { every: 250 },
    checkpoint: { every: 250 },
    machine: { workers: 2, name: "here" },
  };
  await train(place.config("run", changes), {
    onStep: ({ step }) => {
      if (step < 1100 || step % 40 > 0 || step === STEPS) return;
      const children = descendants(Deno.pid).filter(({ command }) => / \S*child\.ts /.test(command));
      growth.look(children.map(({ pid }) => pid));
    },
  });
  assert.equal(growth.settled, 3, "a coordinator and two workers");
  assert.ok(growth.most < SLACK, `grew by ${growth.most}; resident memory in MB:\n${growth}`);
});
