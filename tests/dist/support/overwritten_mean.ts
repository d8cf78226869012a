/**
 * A mean in memory that another process overwrites while a replica applies it.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Replica, StepOutcome } from "../../../src/dist/replica/replica.ts";
import { BorrowedVector } from "../../../src/dist/vectors/gradient.ts";
import { noise } from "./toy.ts";

/** Checks that nothing of it stays in the replica, which then applies the right mean as its twin does. */
export async function checkOverwrittenMean(
  replica: Replica,
  twin: Replica,
  outcome: StepOutcome,
): Promise<void> {
  const right = noise(replica.size, 5).map((value) => value / 100);
  await twin.apply(new BorrowedVector(right), outcome);
  const memory = noise(replica.size, 6);
  let isWhole = false;
  const mean = new BorrowedVector(memory, () => {
    memory.fill(NaN); // who has not copied the values by now will not get them
    if (!isWhole) throw new Error("the mean was overwritten");
  });
  const before = await replica.state();
  await assert.rejects(replica.apply(mean, outcome), /the mean was overwritten/);
  assert.deepEqual(await replica.state(), before);
  assert.equal(replica.step, before.step);
  isWhole = true;
  memory.set(right);
  await replica.apply(mean, outcome);
  assert.equal(replica.step, outcome.step);
  assert.deepEqual(await replica.state(), await twin.state());
}
