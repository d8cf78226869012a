/** Runs with int8 that are resumed, and where their residuals are kept. @module */

import assert from "node:assert/strict";
import { codecOf } from "../../src/dist/codecs/codecs.ts";
import { FeedbackEncoder } from "../../src/dist/codecs/feedback_encoder.ts";
import { ResidualKeeper, type ResidualStore, type SavedResiduals } from "../../src/dist/residuals.ts";
import { ResidualFiles } from "../../src/run/residual_files.ts";
import { MemoryBus } from "./memory_bus.ts";
import { runToys } from "./run_toys.ts";
import { noise, toyPlan, ToyReplica } from "./toy.ts";

const SIZE = 300_000;
const plan = toyPlan({
  steps: 6,
  codec: "int8",
  evaluation: { every: 0, microBatches: 0 },
  partBytes: 256 * 1024,
});

/** Keeps residuals in memory. */
class MemoryStore implements ResidualStore {
  readonly saved = new Map<string, SavedResiduals>();

  save(holder: string, saved: SavedResiduals): Promise<void> {
    this.saved.set(`${holder} ${saved.step}`, saved);
    return Promise.resolve();
  }

  load(holder: string, step: number): Promise<SavedResiduals | undefined> {
    return Promise.resolve(this.saved.get(`${holder} ${step}`));
  }
}

/** Trains new toys, or goes on with states of earlier ones; says whose residuals were dropped and why. */
async function train(steps: number, workers: number, residuals: ResidualStore, from?: ToyReplica) {
  using bus = new MemoryBus();
  const replicas = Array.from({ length: workers }, () => new ToyReplica({ size: SIZE }));
  if (from) { for (const replica of replicas) replica.restore(await from.state()); }
  const changes = { steps, startStep: from?.step ?? 0, startWorkers: workers };
  const { outcome, events, told } = await runToys(() => bus.connect(), replicas, { ...plan, ...changes }, {
    residuals,
  });
  const dropped = [
    ...events.flatMap((event) => event.kind === "residualsDropped" ? `${event.holder}: ${event.reason}` : []),
    ...told.flatMap(({ member, event }) =>
      event.kind === "residualsDropped" ? `${member}: ${event.reason}` : []
    ),
  ];
  return { hash: outcome.paramsHash, replica: replicas[0], dropped };
}

Deno.test("an int8 run that is resumed with the same members and ranges goes on bit for bit", async () => {
  const store = new MemoryStore();
  const whole = await train(6, 1, new MemoryStore());
  const half = await train(3, 1, store);
  const resumed = await train(6, 1, store, half.replica);
  assert.equal(resumed.hash, whole.hash);
  assert.deepEqual([...whole.dropped, ...half.dropped, ...resumed.dropped], []);
});

Deno.test("residuals that were not saved are missed, and each holder says so", async () => {
  const whole = await train(6, 1, new MemoryStore());
  const half = await train(3, 1, new MemoryStore());
  const resumed = await train(6, 1, new MemoryStore(), half.replica);
  assert.notEqual(resumed.hash, whole.hash);
  assert.deepEqual(
    resumed.dropped,
    ["coordinator", "worker-0"].map((name) => `${name}: none were saved with step 3`),
  );
});

Deno.test("with other members all residuals are dropped, and each holder says so", async () => {
  const store = new MemoryStore();
  const half = await train(3, 2, store);
  assert.deepEqual([...store.saved.keys()].toSorted(), ["coordinator 3", "worker-0 3", "worker-1 3"]);
  const { dropped, hash } = await train(6, 1, store, half.replica);
  const reason = "the members of step 3 were worker-0, worker-1";
  assert.deepEqual(dropped, [`coordinator: ${reason}`, `worker-0: ${reason}`]);
  const without = await train(6, 1, new MemoryStore(), half.replica);
  assert.equal(hash, without.hash, "nothing of them is left");
});

Deno.test("files keep every bit of the last two steps of each holder; a damaged one counts as none", async () => {
  const folder = await Deno.makeTempDir();
  const files = new ResidualFiles(`${folder}/residuals`);
  const saved = (step: number): SavedResiduals => ({
    step,
    members: ["a", "a-1"],
    residuals: new Map([[0, noise(1000, step)], [10, noise(7, step)]]),
  });
  for (const step of [5, 100, 15]) { // the run went on from step 10
    for (const holder of ["a", "a-1"]) await files.save(holder, saved(step));
  }
  assert.deepEqual(await files.load("a", 15), saved(15));
  assert.deepEqual(await files.load("a-1", 100), saved(100));
  assert.equal(await files.load("a", 5), undefined);
  const path = `${folder}/residuals/a-00000015.safetensors`;
  await Deno.writeFile(path, (await Deno.readFile(path)).subarray(0, 500));
  assert.equal(await files.load("a", 15), undefined);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("residuals that can't be written are told, and the run goes on", async () => {
  const reasons: string[] = [];
  const store = {
    save: () => Promise.reject(new Error("the disk is full")),
    load: () => Promise.resolve(undefined),
  };
  const keeper = new ResidualKeeper(
    "a",
    new FeedbackEncoder(codecOf("int8")),
    store,
    (reason) => reasons.push(reason),
  );
  keeper.save(7, ["a"]);
  await keeper.idle();
  assert.deepEqual(reasons, ["those of step 7 can't be saved: the disk is full"]);
});
