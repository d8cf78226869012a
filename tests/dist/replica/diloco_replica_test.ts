/** @module */

import assert from "node:assert/strict";
import { averagingToy } from "../support/average_toys.ts";
import { noise } from "../support/toy.ts";

Deno.test("local steps give the same sum in given memory, which stays its owner's", async () => {
  const work = { steps: 3, share: [0, 3], microBatches: 8 } as const;
  const { sum } = await averagingToy().localSteps(work);
  const replica = averagingToy(), into = noise(replica.size, 9);
  const before = await replica.state();
  const { sum: given } = await replica.localSteps(work, () => {}, into);
  assert.deepEqual(into, (await sum.gradient.toHost()).values);
  assert.deepEqual([given.lossSum, given.tokens], [sum.lossSum, sum.tokens]);
  assert.equal((await given.gradient.toHost()).values, into);
  given.gradient.release();
  assert.equal(into.length, replica.size);
  assert.deepEqual((await replica.state()).vectors, before.vectors);
});
