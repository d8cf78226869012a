/** Workers come and go, over a bus in memory; the bits stay those of a single process. @module */

import assert from "node:assert/strict";
import type { CoordinationPlan } from "../../src/dist/replica/plan.ts";
import { encodeControl } from "../../src/dist/protocol/messages.ts";
import { runSingle } from "../../src/dist/single.ts";
import { subjects } from "../../src/dist/protocol/transport.ts";
import { NO_TRAFFIC } from "../../src/dist/state/traffic.ts";
import { ElasticRun } from "./support/elastic_toys.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import { storm } from "./support/weather.ts";

/** Steps take a few milliseconds, so that there is time to join. */
const slow = (milliseconds = 3) => ({
  beforeGradient: () => new Promise<void>((resolve) => setTimeout(resolve, milliseconds)),
});

const longPlan = (changes: Partial<CoordinationPlan> = {}) =>
  toyPlan({ steps: 30, evaluation: { every: 0, microBatches: 2 }, patienceSeconds: 1, ...changes });

/** A run's outcome and its members' states against a single process. */
async function assertSame(run: ElasticRun, replicas: ToyReplica[]): Promise<void> {
  const alone = new ToyReplica({ size: replicas[0].size });
  const expected = await runSingle(alone, run.plan);
  const outcome = await run.outcome;
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.equal(outcome.loss, expected.loss);
  assert.equal(outcome.valLoss, expected.valLoss);
  const states = await Promise.all(replicas.map((replica) => replica.hashes()));
  assert.deepEqual(states, states.map(() => states[0]));
  assert.equal(states[0].state, (await alone.hashes()).state);
  assert.deepEqual(
    run.steps.map(({ step }) => step),
    Array.from({ length: run.plan.steps }, (_, i) => i + 1),
  );
  for (const { computed } of run.steps) {
    assert.deepEqual(Object.values(computed).flat().sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
  }
}

Deno.test("a worker that joins at step 5 gets the state, computes, and changes nothing in the result", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan());
  const replicas = [new ToyReplica(run.patient), new ToyReplica(run.patient)];
  await run.start("first", replicas[0]);
  await run.step(5);
  await run.start("late", replicas[1]);
  await run.joined("late");
  await assertSame(run, replicas);
  const { stateBytes } = await run.outcome;
  assert.equal(stateBytes, 2 * 4 * 1000, "both vectors, once");
  const joining = run.events.find((event) => event.kind === "joining");
  assert.ok(joining?.kind === "joining" && joining.donor === "first" && joining.step >= 5);
  const last = run.steps.at(-1)!;
  assert.ok(run.steps.some(({ computed }) => computed.late?.length === 4), "half of the work is its");
  assert.equal(last.workers, 2);
  assert.ok(last.generation > run.steps[0].generation);
});

Deno.test("a worker joins a run of quick steps, too", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ steps: 400, heartbeatSeconds: 0.05 }));
  const replicas = [new ToyReplica(), new ToyReplica(), new ToyReplica()];
  await Promise.all([run.start("a", replicas[0]), run.start("b", replicas[1])]);
  await run.step(5);
  await run.start("c", replicas[2]);
  await run.joined("c");
  await assertSame(run, replicas);
});

Deno.test("4 workers, then 2, then 3: the same bits", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 4 }));
  const replicas = Array.from({ length: 5 }, () => new ToyReplica(run.patient));
  const workers = await Promise.all(replicas.slice(0, 4).map((replica, i) => run.start(`w${i}`, replica)));
  await run.step(3);
  workers[1].leave();
  await workers[2].end.close(); // dies
  await run.until((event) => event.kind === "left" && event.member === "w2");
  await run.start("w4", replicas[4]);
  await run.joined("w4");
  await assertSame(run, [replicas[0], replicas[3], replicas[4]]);
  const counts = run.steps.map(({ workers }) => workers);
  assert.deepEqual([counts[0], Math.min(...counts), counts.at(-1)], [4, 2, 3]);
});

Deno.test("workers join while messages are lost, doubled, delayed and damaged", async () => {
  await Promise.all([0, 1].map(async (seed) => {
    using bus = new MemoryBus(storm(seed, { lose: 0.03, double: 0.1, delay: 0.1, damage: 0.02 }));
    const plan = longPlan({ steps: 40, heartbeatSeconds: 0.03, silenceSeconds: 10, patienceSeconds: 5 });
    const run = new ElasticRun(bus, plan);
    const replicas = Array.from({ length: 3 }, () => new ToyReplica(run.patient));
    await run.start("a", replicas[0]);
    await run.step(2);
    await run.start("b", replicas[1]);
    await run.start("c", replicas[2]);
    await Promise.all([run.joined("b"), run.joined("c")]);
    await assertSame(run, replicas);
  }));
});

Deno.test("a donor that dies during the state transfer is replaced", async () => {
  using bus = new MemoryBus();
  const size = 500_000; // 16 parts of two vectors
  const run = new ElasticRun(
    bus,
    longPlan({ startWorkers: 2, steps: 10, partBytes: 256 * 1024, windowBytes: 256 * 1024 }),
  );
  const replicas = Array.from({ length: 3 }, () => new ToyReplica({ size, ...run.patient }));
  const workers = [await run.start("a", replicas[0]), await run.start("b", replicas[1])];
  await run.step(2);
  await run.start("c", replicas[2]);
  const joining = await run.until((event) => event.kind === "joining");
  assert.ok(joining.kind === "joining");
  await workers["ab".indexOf(joining.donor)].end.close();
  const survivor = joining.donor === "a" ? "b" : "a";
  await run.until((event) => event.kind === "joining" && event.donor === survivor);
  await run.joined("c");
  await assertSame(run, [replicas["ab".indexOf(survivor)], replicas[2]]);
});

Deno.test("a worker that comes back with the current step and state needs no transfer", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 2, minWorkers: 2, steps: 10 }));
  const replicas = [new ToyReplica(slow()), new ToyReplica(slow())];
  await run.start("a", replicas[0]);
  const b = await run.start("b", replicas[1], {
    onEvent: (event) => event.kind === "applied" && event.step === 4 && b.leave(),
  });
  await b.done;
  await run.until((event) =>
    event.kind === "waiting" && /step [45] is done, waiting for workers: 1 of 2/.test(event.reason)
  );
  const { step } = replicas[0];
  if (replicas[1].step < step) replicas[1].restore(await replicas[0].state());
  await run.start("b", replicas[1]);
  await assertSame(run, replicas);
  assert.equal((await run.outcome).stateBytes, 0);
});

Deno.test("below minWorkers a run says what it waits for, and continues when they are there", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 3, minWorkers: 2, steps: 8 }));
  const replicas = Array.from({ length: 4 }, () => new ToyReplica(run.patient));
  const workers = await Promise.all(replicas.slice(0, 3).map((replica, i) => run.start(`w${i}`, replica)));
  await run.step(2);
  workers[0].leave();
  workers[1].leave();
  await run.until((event) =>
    event.kind === "waiting" && /waiting for workers: 1 of 2 are here/.test(event.reason) &&
    event.reason.startsWith("step")
  );
  const before = run.steps.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(run.steps.length, before);
  await run.start("w3", replicas[3]);
  await assertSame(run, replicas.slice(2));
});

Deno.test("two members are lost in one step, the second while it computes for the first", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 4, steps: 5 }));
  const failing = (which: (microBatch: number) => boolean) =>
    new ToyReplica({
      beforeGradient: async (step, microBatch) => {
        await new Promise((resolve) => setTimeout(resolve, 3));
        if (step === 3 && which(microBatch)) throw new Error(`fails at ${microBatch}`);
      },
    });
  // The third has micro-batches 4 and 5; the second fails on whatever it gets of those.
  const replicas = [
    new ToyReplica(slow()),
    failing((i) => i >= 4),
    failing((i) => i === 5),
    new ToyReplica(slow()),
  ];
  const workers = await Promise.all(replicas.map((replica, i) => run.start(`w${i}`, replica)));
  await assertSame(run, [replicas[0], replicas[3]]);
  assert.match((await workers[2].done)!.message, /fails at 5/);
  assert.match((await workers[1].done)!.message, /fails at [45]/);
});

Deno.test("a worker that differs is rejected with the field that differs in the middle of a run, too", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan());
  const replica = new ToyReplica(slow());
  await run.start("a", replica);
  await run.step(2);
  const refused = async (member: string, other: ToyReplica) =>
    (await (await run.start(member, other)).done)!.message;
  const identity = { numericsFingerprint: "toy on a GPU" };
  assert.match(
    await refused("b", new ToyReplica({ identity })),
    /numerics: the run has toy, float32, 1 thread, you have toy on a GPU/,
  );
  assert.match(await refused("b", new ToyReplica({ size: 7 })), /parameters .* weight \[7\]/);
  const ahead = new ToyReplica();
  ahead.step = 1000;
  assert.match(await refused("b", ahead), /step: the run has \d+, you have 1000/);
  assert.match(await refused("a", new ToyReplica()), /there is a member a already/);
  await assertSame(run, [replica]);
});

Deno.test("when all workers with the state are lost, the run says so, and that it can be resumed", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ silenceSeconds: 1 }));
  const only = await run.start("only", new ToyReplica(slow()));
  await run.step(2);
  only.end.close();
  await run.until((event) =>
    event.kind === "waiting" && /0 of 1/.test(event.reason) && event.reason.startsWith("step")
  );
  await run.start("new", new ToyReplica());
  await assert.rejects(
    run.outcome,
    /all workers with the state of step \d+ are lost; the run can be resumed from its newest checkpoint/,
  );
});

Deno.test("a flipped bit in one replica is found at the next comparison and restored from the majority", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 3, hashEvery: 4 }));
  const replicas = Array.from({ length: 3 }, () => new ToyReplica(slow()));
  await Promise.all(replicas.map((replica, i) =>
    run.start(`w${i}`, replica, {
      onEvent: (event) => {
        if (i === 1 && event.kind === "applied" && event.step === 5) replica.momentum[7] += 1e-6;
      },
    })
  ));
  await run.outcome;
  const left = run.events.filter((event) => event.kind === "left");
  assert.deepEqual(left.map(({ member }) => member), ["w1"]);
  assert.match(left[0].error!, /its state after step 8 is not that of the majority/);
  assert.ok(
    run.events.filter((event) => event.kind === "joined" && event.member === "w1").length === 2,
    "it came back",
  );
  const states = await Promise.all(replicas.map((replica) => replica.hashes()));
  assert.deepEqual(states, states.map(() => states[0]));
});

Deno.test("a bit that flips in the last step is found before the checkpoint; the majority ends the run", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 3, steps: 4, hashEvery: 0 }));
  const replicas = Array.from({ length: 3 }, () => new ToyReplica(slow()));
  await Promise.all(replicas.map((replica, i) =>
    run.start(`w${i}`, replica, {
      onEvent: (event) => {
        if (i === 0 && event.kind === "applied" && event.step === 4) replica.params[7] += 1;
      },
    })
  ));
  const { paramsHash } = await run.outcome;
  assert.equal(paramsHash, (await runSingle(new ToyReplica(), run.plan)).paramsHash);
  const left = run.events.filter((event) => event.kind === "left");
  assert.equal(left[0].member, "w0");
  assert.match(left[0].error!, /its state after step 4 is not that of the majority/);
  assert.deepEqual(replicas.map(({ saves }) => saves.length), [0, 1, 0], "w0 would have saved");
});

Deno.test("states that differ without a majority stop the run", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 2, hashEvery: 4 }));
  const replicas = [new ToyReplica(), new ToyReplica()];
  await Promise.all(replicas.map((replica, i) => run.start(`w${i}`, replica)));
  await run.step(5);
  replicas[0].params[3] += 1;
  await assert.rejects(run.outcome, /the replicas differ after step \d+; hashes of their states: w/);
});

Deno.test("what a worker sent before it joined again changes nothing, and is counted", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, longPlan({ startWorkers: 2 }));
  const replicas = [new ToyReplica(slow()), new ToyReplica(slow()), new ToyReplica(slow())];
  await run.start("a", replicas[0]);
  const b = await run.start("b", replicas[1]);
  await run.step(2);
  b.leave();
  await b.done;
  await run.start("b", replicas[2]);
  await run.until((event) =>
    event.kind === "joined" && run.events.filter((each) => each.kind === "joined").length === 3
  );
  const fields = { kind: "leave", run: "toy", sender: "b", generation: 1 } as const;
  const late = encodeControl(fields, { error: "late", traffic: NO_TRAFFIC });
  bus.connect().publish(subjects.from("toy", "b"), late);
  await assertSame(run, [replicas[0], replicas[2]]);
  assert.equal(run.events.filter((event) => event.kind === "left").length, 1);
  assert.ok((await run.outcome).dropped.stale > 0);
});
