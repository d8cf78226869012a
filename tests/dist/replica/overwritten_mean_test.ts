/** @module */

import { averagingToy } from "../support/average_toys.ts";
import { checkOverwrittenMean } from "../support/overwritten_mean.ts";
import { ToyReplica } from "../support/toy.ts";

const outcome = { step: 1, apply: true, norm: 2, tokens: 9 };

Deno.test("a toy that is told that the mean was overwritten is as before, and applies it again", async () => {
  await checkOverwrittenMean(new ToyReplica(), new ToyReplica(), outcome);
});

Deno.test("a round, or a step before the rounds, whose mean was overwritten leaves nothing behind", async () => {
  await checkOverwrittenMean(averagingToy(), averagingToy(), outcome);
  const [replica, twin] = [averagingToy(), averagingToy()];
  for (const each of [replica, twin]) {
    await each.localSteps({ steps: 3, share: [0, 2], microBatches: 2 });
  }
  await checkOverwrittenMean(replica, twin, { ...outcome, step: 3, localSteps: 3 });
});
