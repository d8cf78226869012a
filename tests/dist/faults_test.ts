/** @module */

import assert from "node:assert/strict";
import { coordinate } from "../../src/dist/coordinator.ts";
import { encodeFrame } from "../../src/dist/protocol/frames.ts";
import { fetchRun } from "../../src/dist/worker/join.ts";
import type { DistEvent } from "../../src/dist/replica/plan.ts";
import { runSingle } from "../../src/dist/single.ts";
import { subjects } from "../../src/dist/protocol/transport.ts";
import { TransientError } from "../../src/errors.ts";
import { runWorker } from "../../src/dist/worker.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { runToys } from "./support/run_toys.ts";
import { CONFIG_HASH, noise, RUN_ID, toyPlan, ToyReplica } from "./support/toy.ts";
import { storm } from "./support/weather.ts";

/** Gradients that take some milliseconds. */
const slow = { beforeGradient: () => new Promise<void>((resolve) => setTimeout(resolve, 5)) };

const toys = (count: number, options: ConstructorParameters<typeof ToyReplica>[0] = {}) =>
  Array.from({ length: count }, () => new ToyReplica(options));

Deno.test("a run gives the same bits when messages are lost, doubled, delayed and damaged", async () => {
  const size = 200_000; // 4 parts
  const expected = await runSingle(new ToyReplica({ size }), toyPlan());
  const dropped: Record<string, number> = {};
  await Promise.all([0, 1, 2].map(async (seed) => {
    using bus = new MemoryBus(storm(seed, { lose: 0.1, double: 0.1, delay: 0.3, damage: 0.05 }));
    const replicas = toys(3, { size });
    const { outcome } = await runToys(
      () => bus.connect(),
      replicas,
      toyPlan({ minWorkers: 3, heartbeatSeconds: 0.03, partBytes: 256 * 1024 }),
    );
    assert.equal(outcome.paramsHash, expected.paramsHash);
    assert.equal(outcome.valLoss, expected.valLoss);
    assert.equal(replicas.flatMap(({ computed }) => computed).length, 4 * 8);
    for (const [reason, count] of Object.entries(outcome.dropped)) {
      dropped[reason] = (dropped[reason] ?? 0) + count;
    }
  }));
  assert.ok(dropped.damaged > 0 && dropped.stale > 0, JSON.stringify(dropped));
});

Deno.test("a vector larger than the window passes through it, and no more than the window is ever in flight", async () => {
  const size = 1_500_000; // 6 MB, in a window of 1 MiB
  const plan = toyPlan({ steps: 2, microBatches: 4, windowBytes: 1024 * 1024, partBytes: 256 * 1024 });
  const expected = await runSingle(new ToyReplica({ size }), plan);
  using bus = new MemoryBus();
  const { outcome } = await runToys(() => bus.connect(), toys(3, { size }), { ...plan, minWorkers: 3 });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  // Headers and control frames come on top of the payload.
  assert.ok(bus.mostPending < 1024 * 1024 + 50_000, `${bus.mostPending} bytes`);
  assert.ok(bus.mostPending > 512 * 1024, `${bus.mostPending} bytes: the window is used`);
});

Deno.test("a worker that throws leaves with its message, and the others do its work in the same step", async () => {
  using bus = new MemoryBus();
  const own = new Error("TensorFlow: out of memory");
  const failing = new ToyReplica({
    beforeGradient: (step, microBatch) => {
      if (step === 2 && microBatch === 5) throw own;
    },
  });
  const others = toys(2);
  const plan = toyPlan({ startWorkers: 3 });
  const { outcome, events, workers } = await runToys(
    () => bus.connect(),
    [others[0], failing, others[1]],
    plan,
  );
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica(), plan)).paramsHash);
  assert.deepEqual(workers, [undefined, own, undefined]);
  const left = events.filter((event) => event.kind === "left");
  assert.deepEqual(left[0], { kind: "left", member: "worker-1", members: 2, error: own.message });
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  assert.deepEqual(steps.map(({ workers }) => workers), [3, 2, 2, 2]);
  const generations = steps.map(({ generation }) => generation);
  assert.deepEqual(generations, [1, 2, 2, 2]);
  // The others computed what was theirs once, and what was the dead one's.
  const second = others.flatMap(({ computed }) => computed.filter(([step]) => step === 2).map(([, i]) => i));
  assert.deepEqual(second.sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("a worker that fails while it applies a commit takes nothing from the others", async () => {
  using bus = new MemoryBus();
  const failing = new ToyReplica({
    beforeApply: (step) => step === 2 ? Promise.reject(new Error("disk full")) : undefined,
  });
  const [good] = toys(1);
  const plan = toyPlan({ startWorkers: 2 });
  const { outcome, workers } = await runToys(() => bus.connect(), [failing, good], plan);
  assert.match(workers[0]!.message, /disk full/);
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica(), plan)).paramsHash);
});

Deno.test("a worker that dies silently is noticed within seconds, and the run continues without it", async () => {
  using bus = new MemoryBus();
  const ends = [bus.connect(), bus.connect(), bus.connect()];
  const hanging = new ToyReplica({
    beforeGradient: async (step) => {
      if (step < 2) return;
      await ends[2].close(); // as the server sees it when a process is killed
      await new Promise(() => {});
    },
  });
  const started = performance.now();
  const connect = (name: string) => ends[["coordinator", "worker-0", "worker-1"].indexOf(name)];
  const plan = toyPlan({ startWorkers: 2, patienceSeconds: 60, silenceSeconds: 60 });
  const events: DistEvent[] = [];
  const work = runToys(connect, [new ToyReplica(), hanging], plan, {
    onEvent: (event) => events.push(event),
  });
  const ended = Promise.withResolvers<void>();
  const poll = setInterval(
    () => events.some((event) => event.kind === "step" && event.committed.step === 4) && ended.resolve(),
    20,
  );
  await Promise.race([ended.promise, work]);
  clearInterval(poll);
  assert.ok(performance.now() - started < 30_000, "not only after silenceSeconds");
  const left = events.find((event) => event.kind === "left");
  assert.match(left!.error!, /its connection has ended, its process is probably dead; it was last seen/);
});

Deno.test("while the bus is unreachable no member counts as silent; when it is back, the open step continues", async () => {
  using bus = new MemoryBus();
  const plan = toyPlan({ steps: 20, startWorkers: 2, patienceSeconds: 0.5, silenceSeconds: 30 });
  let wasAway = false;
  const goAway = (step: number) => {
    if (step < 11 || wasAway) return slow.beforeGradient();
    bus.isAway = wasAway = true;
    setTimeout(() => bus.isAway = false, 1500);
  };
  const replicas = [new ToyReplica(slow), new ToyReplica({ beforeGradient: goAway })];
  const { outcome, events } = await runToys(() => bus.connect(), replicas, plan);
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica(), plan)).paramsHash);
  assert.deepEqual(events.filter((event) => event.kind === "left" && event.error), []);
  const reasons = events.flatMap((event) => event.kind === "waiting" ? [event.reason] : []);
  assert.deepEqual(reasons.slice(-2), [
    "waiting for the NATS server to be reachable again",
    "connected to the NATS server again",
  ]);
  const waited = events.find((event) => event.kind === "step" && event.committed.step === 11);
  assert.ok(waited?.kind === "step" && waited.committed.seconds > 1, "it was away in mid-step");
});

Deno.test("without a coordinator a worker says so soon", async () => {
  using bus = new MemoryBus();
  const started = performance.now();
  await assert.rejects(
    fetchRun(bus.connect(), "toy", "worker-0"),
    /no coordinator serves a run "toy" on this server/,
  );
  assert.ok(performance.now() - started < 5000, "it does not ask again, for 13 s");
});

Deno.test("a worker gets the configuration of the run, and a second coordinator of the same run is refused", async () => {
  using bus = new MemoryBus();
  const abort = new AbortController();
  const coordination = coordinate(bus.connect(), toyPlan(), { signal: abort.signal });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(await fetchRun(bus.connect(), "toy", "worker-0"), {
    config: { name: "toy" },
    configHash: CONFIG_HASH,
    id: RUN_ID,
    origin: { step: 0, samples: 0 },
    startStep: 0,
  });
  await assert.rejects(coordinate(bus.connect(), toyPlan()), /another coordinator serves the run "toy"/);
  abort.abort();
  assert.ok((await coordination).interrupted);
});

Deno.test("a temporary rejection is distinguished from a permanent one", async () => {
  using bus = new MemoryBus();
  const abort = new AbortController();
  const coordination = coordinate(bus.connect(), toyPlan({ startStep: 2 }), { signal: abort.signal });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const refused = (configHash: string) =>
    runWorker(bus.connect(), new ToyReplica(), {
      run: "toy",
      id: RUN_ID,
      member: "late",
      configHash,
      atHome: true,
    })
      .then(() => assert.fail("it was admitted"), (error: Error) => error);
  // An earlier coordinator had told it that the run begins at step 0.
  const passing = await refused(CONFIG_HASH);
  assert.match(passing.message, /step: the run has 2, you have 0/);
  assert.ok(passing instanceof TransientError);
  const final = await refused("a".repeat(64));
  assert.match(final.message, /hash of the run's configuration/);
  assert.ok(!(final instanceof TransientError));
  abort.abort();
  await coordination;
});

Deno.test("a worker that differs is rejected with the field that differs, and the run continues without it", async () => {
  using bus = new MemoryBus();
  const plan = toyPlan({ minWorkers: 2, steps: 1 });
  const coordination = coordinate(bus.connect(), plan);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const join = (replica: ToyReplica, member: string) =>
    runWorker(bus.connect(), replica, {
      run: "toy",
      id: RUN_ID,
      member,
      configHash: CONFIG_HASH,
      atHome: true,
    });
  const first = join(new ToyReplica(), "first");
  await new Promise((resolve) => setTimeout(resolve, 50));
  await assert.rejects(
    join(new ToyReplica({ seed: 2, identity: { numericsFingerprint: "toy on a GPU" } }), "odd"),
    /rejected odd at join:\n {2}numerics: the run has toy, float32, 1 thread, you have toy on a GPU/,
  );
  await assert.rejects(join(new ToyReplica({ seed: 2 }), "odd"), /hash of the state at step 0/);
  await Promise.all([join(new ToyReplica(), "second"), first]);
  assert.equal((await coordination).steps, 1);
});

Deno.test("an interrupted run finishes the open step and saves it", async () => {
  using bus = new MemoryBus();
  const abort = new AbortController();
  const replicas = toys(2, { beforeGradient: () => new Promise((resolve) => setTimeout(resolve, 5)) });
  const { outcome } = await runToys(() => bus.connect(), replicas, toyPlan({ steps: 1000, minWorkers: 2 }), {
    signal: abort.signal,
    onEvent: (event) => event.kind === "step" && event.committed.step === 2 && abort.abort(),
  });
  assert.ok(outcome.interrupted);
  assert.equal(outcome.steps, 2);
  assert.deepEqual(replicas[0].saves, [2]);
  assert.deepEqual(replicas.map(({ step }) => step), [2, 2]);
});

Deno.test("a bad gradient on one worker makes all skip the step, as a single process does", async () => {
  const alter: ConstructorParameters<typeof ToyReplica>[0] = {
    alter: (sum, step, microBatch) => {
      if (step === 2 && microBatch === 5) sum.gradient[7] = NaN;
    },
  };
  const alone = await runSingle(new ToyReplica(alter), toyPlan());
  using bus = new MemoryBus();
  const { outcome, events } = await runToys(() => bus.connect(), toys(3, alter), toyPlan({ minWorkers: 3 }));
  assert.equal(outcome.paramsHash, alone.paramsHash);
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  assert.deepEqual(steps.map(({ applied }) => applied), [true, false, true, true]);
  assert.match(steps[1].reason!, /micro-batch 5, computed by worker-1, is not finite/);
});

Deno.test("a run stops when too many steps in a row are skipped, with and without workers", async () => {
  const alter: ConstructorParameters<typeof ToyReplica>[0] = {
    alter: (sum, step) => {
      if (step === 1 || step >= 3) sum.gradient[7] = Infinity;
    },
  };
  const plan = toyPlan({ steps: 20, maxSkips: 3 });
  const stopped =
    /^3 steps in a row were skipped, the last because loss or gradient of micro-batch 0, computed by /;
  const stopsAfter5 = async (run: (onEvent: (event: DistEvent) => void) => Promise<unknown>) => {
    let last = 0;
    await assert.rejects(run((event) => event.kind === "step" && (last = event.committed.step)), {
      message: stopped,
    });
    assert.equal(last, 5);
  };
  await stopsAfter5((onEvent) => runSingle(new ToyReplica(alter), plan, { onEvent }));
  using bus = new MemoryBus();
  await stopsAfter5((onEvent) =>
    runToys(() => bus.connect(), toys(2, alter), { ...plan, minWorkers: 2 }, { onEvent })
  );
});

Deno.test("micro-batches with subnormal gradients give a single process's bits", async () => {
  const alter: ConstructorParameters<typeof ToyReplica>[0] = {
    alter: ({ gradient }, _step, microBatch) => gradient.set(noise(1000, microBatch).map((x) => x * 1e-38)),
  };
  const alone = await runSingle(new ToyReplica(alter), toyPlan());
  using bus = new MemoryBus();
  const { outcome } = await runToys(() => bus.connect(), toys(2, alter), toyPlan({ minWorkers: 2 }));
  assert.equal(outcome.paramsHash, alone.paramsHash);
});

Deno.test("replicas that drift apart fail the run at its end", async () => {
  using bus = new MemoryBus();
  const [good, bad] = toys(2);
  const apply = bad.apply.bind(bad);
  bad.apply = async (mean, outcome) => {
    await apply(mean, outcome);
    bad.params[3] += 1e-3;
  };
  await assert.rejects(
    runToys(() => bus.connect(), [good, bad], toyPlan({ minWorkers: 2 })),
    /the replicas differ after step 4; hashes of their states: worker-/,
  );
});

Deno.test("messages of unknown senders, and of workers that are not members, change nothing", async () => {
  using bus = new MemoryBus();
  const expected = await runSingle(new ToyReplica(), toyPlan());
  const stranger = bus.connect();
  const shout = () => {
    const from = subjects.from("toy", "worker-0");
    stranger.publish(from, new TextEncoder().encode("hello"));
    stranger.publish(from, encodeFrame({ kind: "leave", run: "another", sender: "worker-0" }));
    stranger.publish(from, encodeFrame({ kind: "ack", run: "toy", sender: "worker-1", step: 1 }));
    stranger.publish(subjects.from("toy", "x"), encodeFrame({ kind: "saved", run: "toy", sender: "x" }));
    stranger.publish(subjects.all("toy"), new Uint8Array(3));
  };
  const { outcome } = await runToys(() => bus.connect(), toys(2), toyPlan({ minWorkers: 2 }), {
    onEvent: shout,
  });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.ok(outcome.dropped.foreign > 0);
});

Deno.test("a server whose messages are too small for a part is named", async () => {
  using bus = new MemoryBus(undefined, 100_000);
  await assert.rejects(coordinate(bus.connect(), toyPlan()), /max_payload is 100000: raise them/);
});
