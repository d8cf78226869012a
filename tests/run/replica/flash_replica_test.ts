/** @module */

import assert from "node:assert/strict";
import { resolveConfig } from "../../../src/config/config.ts";
import { DATA_BEGINS } from "../../../src/data/microbatch.ts";
import { computeSum, normOfMean } from "../../../src/dist/replica/accumulate.ts";
import { BorrowedVector } from "../../../src/dist/vectors/gradient.ts";
import { LentGradient } from "../../../src/run/replica/lent_gradient.ts";
import { openReplica } from "../../../src/run/replica/open_replica.ts";
import { tf } from "../../../src/tensorflow/mod.ts";
import { checkOverwrittenMean } from "../../dist/support/overwritten_mean.ts";
import { Workplace } from "../support/runs.ts";

/** Two replicas at the same place, with what they need to train. */
async function twins(place: Workplace) {
  const config = resolveConfig(place.config("run"));
  const identity = { id: config.id!, config, origin: DATA_BEGINS };
  const open = () => openReplica(identity, { folder: place.run("run") });
  return [await open(), await open()] as const;
}

/** Tensors that a function leaves behind. */
async function tensorsLeftBy(work: () => Promise<unknown>): Promise<number> {
  const before = tf.memory().numTensors;
  await work();
  return tf.memory().numTensors - before;
}

Deno.test("a replica whose mean was overwritten is as before, and applies the right one", async () => {
  await using place = await Workplace.open();
  const [replica, twin] = await twins(place);
  const outcome = { step: 1, apply: true, norm: 2, tokens: 9 };
  assert.equal(await tensorsLeftBy(() => checkOverwrittenMean(replica, twin, outcome)), 0);
  for (const each of [replica, twin]) each.dispose();
});

Deno.test("a mean of its own gradients gives a replica the same parameters as the same values in memory", async () => {
  await using place = await Workplace.open();
  const [replica, twin] = await twins(place);
  const step = async (into?: Float32Array) => {
    const each = into ? twin : replica;
    const { sum } = await computeSum(each, 1, 0, 3, { into });
    assert.ok(sum.gradient instanceof (into ? BorrowedVector : LentGradient));
    const norm = await normOfMean(sum);
    await each.apply(sum.gradient, { step: 1, apply: true, norm, tokens: sum.tokens });
  };
  assert.equal(await tensorsLeftBy(() => step()), 0);
  assert.equal(await tensorsLeftBy(() => step(new Float32Array(twin.size))), 0);
  assert.deepEqual(await replica.hashes(), await twin.hashes());
  for (const each of [replica, twin]) each.dispose();
});

Deno.test("a gradient that is added to another frees its memory at once", async () => {
  await using place = await Workplace.open();
  const [replica, twin] = await twins(place);
  const { gradient: left } = await replica.gradient(1, 0), { gradient: right } = await replica.gradient(1, 1);
  const { values } = await right.toHost();
  const before = tf.memory().numTensors;
  await left.add(right);
  assert.equal(values.length, 0);
  if (replica.device === "cpu") assert.equal(tf.memory().numTensors, before - 1);
  for (const each of [replica, twin]) each.dispose();
  assert.equal((await left.toHost()).values.length, 0, "the replica has freed those that were left");
});
