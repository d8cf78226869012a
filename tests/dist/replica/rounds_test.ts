/** @module */

import assert from "node:assert/strict";
import { dutiesAfter } from "../../../src/dist/replica/plan.ts";
import { boundaryBefore, localStepsAfter } from "../../../src/dist/replica/rounds.ts";
import { toyPlan } from "../support/toy.ts";

const diloco = { localSteps: 4, warmupSteps: 3, outer: { rate: 0.7, momentum: 0.9 } };
const plan = toyPlan({ steps: 13, diloco });

Deno.test("rounds begin after the warm-up, lie on a grid, and the last one ends with the run", () => {
  const boundaries = [0];
  for (let step = 0; step < plan.steps;) {
    step += localStepsAfter(plan, step) ?? 1;
    boundaries.push(step);
  }
  assert.deepEqual(boundaries, [0, 1, 2, 3, 7, 11, 13]);
  boundaries.slice(1).forEach((step, i) => assert.equal(boundaryBefore(plan, step), boundaries[i]));
  assert.equal(localStepsAfter({ ...plan, steps: 30 }, 13), 2, "a run that goes on comes back to the grid");
  assert.equal(localStepsAfter({ ...plan, diloco: undefined }, 7), undefined);
});

Deno.test("what becomes due within a round is done at its end, once", () => {
  const due = { ...plan, evaluation: { every: 5, microBatches: 1 }, saveEvery: 2 };
  const duties = [1, 2, 3, 7, 11, 13].map((step) => dutiesAfter(due, step, false));
  assert.deepEqual(duties, [[], ["save"], [], ["evaluate", "save"], ["evaluate", "save"], [
    "evaluate",
    "save",
  ]]);
});
