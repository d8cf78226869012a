/** Runs with int8 that are resumed, and where their residuals are kept. @module */

import assert from "node:assert/strict";
import { codecOf } from "../../../src/dist/vectors/codecs.ts";
import { FeedbackEncoder } from "../../../src/dist/vectors/error_feedback.ts";
import { runReducer } from "../../../src/dist/reducer.ts";
import {
  ResidualKeeper,
  type ResidualPlace,
  type ResidualStore,
  type SavedResiduals,
} from "../../../src/dist/allreduce/residuals.ts";
import { ResidualFiles } from "../../../src/run/folder/residual_files.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { runToys } from "../support/run_toys.ts";
import { noise, toyPlan, ToyReplica } from "../support/toy.ts";

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

  of(holder: string): ResidualPlace {
    return {
      save: (saved) => {
        this.saved.set(`${holder} ${saved.step}`, saved);
        return Promise.resolve();
      },
      load: (step) => Promise.resolve(this.saved.get(`${holder} ${step}`)),
    };
  }

  ofMean(owner: string): ResidualPlace {
    return {
      save: async (saved) => {
        const { residuals = [] } = this.saved.get(`mean ${saved.step}`) ?? {};
        await this.of(owner).save(saved);
        await this.of("mean").save({ ...saved, residuals: new Map([...residuals, ...saved.residuals]) });
      },
      load: (step) => this.of("mean").load(step),
    };
  }
}

/** Trains new toys, or continues from states of earlier ones; returns whose residuals were dropped and why. */
async function train(
  steps: number,
  workers: number,
  residuals: ResidualStore,
  from?: ToyReplica,
  reducers: readonly string[] = [],
) {
  const { promise: haveJoined, resolve } = Promise.withResolvers<void>();
  if (reducers.length === 0) resolve();
  using bus = new MemoryBus();
  const replicas = Array.from({ length: workers }, () => new ToyReplica({ size: SIZE }));
  if (from) { for (const replica of replicas) replica.restore(await from.state()); }
  const changes = { steps, startStep: from?.step ?? 0, startWorkers: workers };
  const lost: string[] = [];
  const startReducer = (reducer: string) =>
    runReducer(bus.connect(), {
      run: plan.run,
      reducer,
      residuals: residuals.ofMean(reducer),
      onEvent: (event) => event.kind === "residualsDropped" && lost.push(`${reducer}: ${event.reason}`),
    });
  let reducing: Promise<void>[] | undefined;
  const connect = async (name: string) => {
    if (name === "coordinator") return bus.connect();
    reducing ??= reducers.map(startReducer); // the coordinator listens
    await haveJoined;
    return bus.connect();
  };
  const { outcome, events, told } = await runToys(connect, replicas, { ...plan, ...changes }, {
    residuals,
    onEvent: (event) => event.kind === "reducerJoined" && event.reducers === reducers.length && resolve(),
  });
  await Promise.all(reducing ?? []);
  const dropped = [
    ...lost,
    ...events.flatMap((event) => event.kind === "residualsDropped" ? `${event.holder}: ${event.reason}` : []),
    ...told.flatMap(({ member, event }) =>
      event.kind === "residualsDropped" ? `${member}: ${event.reason}` : []
    ),
  ];
  return { hash: outcome.paramsHash, replica: replicas[0], dropped };
}

Deno.test("an int8 run that is resumed with the same members and ranges continues bit for bit", async () => {
  const store = new MemoryStore();
  const whole = await train(6, 1, new MemoryStore());
  const half = await train(3, 1, store);
  const resumed = await train(6, 1, store, half.replica);
  assert.equal(resumed.hash, whole.hash);
  assert.deepEqual([...whole.dropped, ...half.dropped, ...resumed.dropped], []);
});

Deno.test("so does one with reducers, whichever process reduces when it is resumed", async () => {
  const whole = await train(6, 2, new MemoryStore(), undefined, ["x", "y"]);
  for (const others of [["x", "y"], ["z", "x", "y"], []]) {
    const store = new MemoryStore();
    const half = await train(3, 2, store, undefined, ["x", "y"]);
    assert.ok(store.saved.has("x 3") && store.saved.has("y 3") && !store.saved.has("coordinator 3"));
    const resumed = await train(6, 2, store, half.replica, others);
    assert.equal(resumed.hash, whole.hash, `resumed with ${others.join() || "the coordinator alone"}`);
    assert.deepEqual([...whole.dropped, ...half.dropped, ...resumed.dropped], []);
  }
  const half = await train(3, 2, new MemoryStore(), undefined, ["x", "y"]);
  const { dropped, hash } = await train(6, 2, new MemoryStore(), half.replica, ["x", "y"]);
  assert.notEqual(hash, whole.hash);
  const holders = ["worker-0", "worker-1", "x", "y"];
  assert.deepEqual(dropped.toSorted(), holders.map((name) => `${name}: none were saved with step 3`));
});

Deno.test("residuals that were not saved are lost, and each holder reports it", async () => {
  const whole = await train(6, 1, new MemoryStore());
  const half = await train(3, 1, new MemoryStore());
  const resumed = await train(6, 1, new MemoryStore(), half.replica);
  assert.notEqual(resumed.hash, whole.hash);
  assert.deepEqual(
    resumed.dropped,
    ["coordinator", "worker-0"].map((name) => `${name}: none were saved with step 3`),
  );
});

Deno.test("with other members all residuals are dropped, and each holder reports it", async () => {
  const store = new MemoryStore();
  const half = await train(3, 2, store);
  const holders = ["coordinator 3", "mean 3", "worker-0 3", "worker-1 3"];
  assert.deepEqual([...store.saved.keys()].toSorted(), holders);
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
  for (const step of [5, 100, 15]) { // the run was resumed from step 10
    for (const holder of ["a", "a-1"]) await files.of(holder).save(saved(step));
  }
  assert.deepEqual(await files.of("a").load(15), saved(15));
  assert.deepEqual(await files.of("a-1").load(100), saved(100));
  assert.equal(await files.of("a").load(5), undefined);
  const path = `${folder}/residuals/a-00000015.safetensors`;
  await Deno.writeFile(path, (await Deno.readFile(path)).subarray(0, 500));
  assert.equal(await files.of("a").load(15), undefined);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("files of the mean: a reducer loads all parts, of each what was saved last", async () => {
  const folder = await Deno.makeTempDir();
  const files = new ResidualFiles(`${folder}/residuals`);
  const saved = (residuals: [number, Float32Array][], members = ["a"]) => ({
    step: 3,
    members,
    residuals: new Map(residuals),
  });
  assert.equal(await files.ofMean("x").load(3), undefined);
  const [old, first, second] = [noise(7, 1), noise(7, 2), noise(7, 3)];
  const writtenAt = async (owner: string, at: number, what: SavedResiduals) => {
    await files.ofMean(owner).save(what);
    await Deno.utime(`${folder}/residuals/mean.${owner}-00000003.safetensors`, at, at);
  };
  await writtenAt("coordinator", 100, saved([[0, old], [1, old], [2, old]])); // before the run was restarted with reducers
  await writtenAt("reducer-1", 300, saved([[1, second]]));
  await writtenAt("reducer-0", 200, saved([[0, first], [2, first]]));
  await files.of("mean").save(saved([[0, old]])); // a member of this name
  const all = [[0, first], [1, second], [2, first]] as [number, Float32Array][];
  for (const owner of ["coordinator", "reducer-0", "another"]) {
    const { residuals, ...others } = (await files.ofMean(owner).load(3))!;
    assert.deepEqual({ ...others, residuals: new Map([...residuals].sort()) }, saved(all));
  }
  await writtenAt("late", 400, saved([[0, old]], ["a", "b"]));
  assert.deepEqual(await files.ofMean("x").load(3), saved([[0, old]], ["a", "b"]), "of other members");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("residuals that can't be written are reported, and the run continues", async () => {
  const reasons: string[] = [];
  const place = {
    save: () => Promise.reject(new Error("the disk is full")),
    load: () => Promise.resolve(undefined),
  };
  const keeper = new ResidualKeeper(
    new FeedbackEncoder(codecOf("int8")),
    place,
    (reason) => reasons.push(reason),
  );
  keeper.save(6, ["a"]); // nothing was encoded: there are none
  keeper.encoder.encode(0, noise(10, 1), 1, "a sum", new Uint8Array(14));
  keeper.encoder.endStep(true);
  keeper.save(7, ["a"]);
  await keeper.idle();
  assert.deepEqual(reasons, ["those of step 7 can't be saved: the disk is full"]);
});
