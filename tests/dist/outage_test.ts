/** An outage of the server longer than the silence allowed, over a bus in memory: no member is lost, and no work. @module */

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { coordinate } from "../../src/dist/coordinator.ts";
import { fetchRun } from "../../src/dist/worker/join.ts";
import type { CoordinationPlan } from "../../src/dist/replica/plan.ts";
import { runSingle } from "../../src/dist/single.ts";
import type { Transport } from "../../src/dist/protocol/transport.ts";
import { averagingToy, DILOCO } from "./support/average_toys.ts";
import { ElasticRun } from "./support/elastic_toys.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { runToys } from "./support/run_toys.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";

/** Milliseconds of the outage: more than `silenceSeconds`. */
const OUTAGE = 2000;

const planOf = (changes: Partial<CoordinationPlan> = {}) =>
  toyPlan({
    steps: 12,
    startWorkers: 2,
    heartbeatSeconds: 0.05,
    patienceSeconds: 0.3,
    silenceSeconds: 1,
    evaluation: { every: 0, microBatches: 0 },
    ...changes,
  });

/** Runs two workers; in the middle of step 6 something happens. Nobody is lost, and the bits are those of a single process. */
async function assertForgiven(
  plan: CoordinationPlan,
  strike: (bus: MemoryBus, ends: Map<string, Transport>) => void,
): Promise<void> {
  using bus = new MemoryBus();
  const ends = new Map<string, Transport>();
  let isDue = true;
  const beforeGradient = async (step: number) => {
    await pause(2);
    if (step < 6 || !isDue) return;
    isDue = false;
    strike(bus, ends);
  };
  const connect = (name: string) => {
    ends.set(name, bus.connect());
    return ends.get(name)!;
  };
  const replicas = [0, 1].map(() => new ToyReplica({ beforeGradient }));
  const { outcome, events, workers, told } = await runToys(connect, replicas, plan);
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica(), plan)).paramsHash);
  assert.deepEqual(events.filter((event) => event.kind === "left" && event.error), []);
  assert.deepEqual(workers, [undefined, undefined]);
  assert.ok(!told.some(({ event }) => event.kind === "out"), "no worker had to join again");
  const cutOffs = told.flatMap(({ event }) => event.kind === "cut off" ? [event.isCutOff] : []);
  assert.ok(cutOffs.includes(true) && cutOffs.includes(false), "it is told");
}

/** The server is away; afterwards these are without a connection for so many milliseconds more. */
function outage(late: string[], milliseconds: number) {
  return (bus: MemoryBus, ends: Map<string, Transport>) => {
    bus.isAway = true;
    setTimeout(() => {
      for (const name of late) bus.cutOff(ends.get(name)!);
      bus.isAway = false;
    }, OUTAGE);
    setTimeout(() => {
      for (const name of late) bus.cutOff(ends.get(name)!, false);
    }, OUTAGE + milliseconds);
  };
}

Deno.test("workers and coordinator outlive an outage that is longer than the silence allowed", async () => {
  await assertForgiven(planOf(), outage([], 0));
});

Deno.test("a worker that has its connection again later than the others is waited for", async () => {
  await assertForgiven(planOf(), outage(["worker-1"], 600));
});

Deno.test("so are all workers, and so is the coordinator", async () => {
  await assertForgiven(planOf(), outage(["worker-0", "worker-1"], 600));
  await assertForgiven(planOf(), outage(["coordinator"], 600));
});

Deno.test("rounds of local steps outlive it, too", async () => {
  const plan = planOf({ diloco: { localSteps: 4, warmupSteps: 4, outer: DILOCO } });
  const train = async (strike: (bus: MemoryBus) => void) => {
    using bus = new MemoryBus();
    let isDue = true;
    const beforeGradient = async (step: number) => {
      await pause(2);
      if (step >= 6 && isDue) strike(bus);
      if (step >= 6) isDue = false;
    };
    const replicas = [0, 1].map(() => averagingToy({ beforeGradient }));
    const { outcome, events } = await runToys(() => bus.connect(), replicas, plan);
    assert.deepEqual(
      events.filter((event) => event.kind === "left" && event.error || event.kind === "dropped"),
      [],
    );
    return outcome.paramsHash;
  };
  assert.equal(await train((bus) => outage([], 0)(bus, new Map())), await train(() => {}));
});

Deno.test("reducers outlive it", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, planOf({ startWorkers: 2, steps: 15, minWorkers: 2 }));
  const reducers = run.startReducers(2);
  await reducers;
  const replicas = [0, 1].map(() => new ToyReplica({ beforeGradient: () => pause(3) }));
  const workers = [await run.start("a", replicas[0]), await run.start("b", replicas[1])];
  await run.step(5);
  bus.isAway = true;
  await pause(OUTAGE);
  bus.isAway = false;
  const outcome = await run.outcome;
  assert.deepEqual(await Promise.all(workers.map(({ done }) => done)), [undefined, undefined]);
  await Promise.all(await reducers);
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica(), run.plan)).paramsHash);
  const lost = run.events.filter((event) =>
    (event.kind === "left" || event.kind === "reducerLeft") && event.error
  );
  assert.deepEqual(lost, []);
});

Deno.test("a state that was in flight to a newcomer continues from where it was", async () => {
  using bus = new MemoryBus();
  const size = 500_000, small = { partBytes: 256 * 1024, windowBytes: 256 * 1024 };
  const run = new ElasticRun(bus, planOf({ startWorkers: 1, steps: 16, ...small }));
  const replicas = [0, 1].map(() => new ToyReplica({ size, ...run.patient }));
  await run.start("first", replicas[0]);
  await run.step(2);
  const late = await run.start("late", replicas[1]);
  await run.until((event) => event.kind === "joining");
  bus.isAway = true;
  await pause(OUTAGE);
  bus.cutOff(late.end);
  bus.isAway = false;
  await pause(500); // the donor is connected again, and continues
  bus.cutOff(late.end, false);
  await run.joined("late");
  const outcome = await run.outcome;
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica({ size }), run.plan)).paramsHash);
  assert.deepEqual(run.events.filter((event) => event.kind === "left" && event.error), []);
});

Deno.test("who is about to join while the server is away waits, and also for a coordinator that is back later", async () => {
  using bus = new MemoryBus();
  const end = bus.connect(), coordinators = bus.connect();
  const listening = Promise.withResolvers<void>();
  const abort = new AbortController();
  const run = coordinate(coordinators, planOf(), { onListening: listening.resolve, signal: abort.signal });
  await listening.promise;
  bus.isAway = true;
  const asked = fetchRun(end, "toy", "worker-0");
  await pause(500);
  bus.cutOff(coordinators);
  bus.isAway = false;
  await pause(500); // no coordinator serves the run now, as far as the server can tell
  bus.cutOff(coordinators, false);
  assert.equal((await asked).configHash, planOf().configHash);

  bus.isAway = true;
  const leave = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => leave.abort(reason), 300);
  await assert.rejects(fetchRun(end, "toy", "worker-0", leave.signal), (error) => error === reason);
  bus.isAway = false;
  abort.abort();
  await run;
});

Deno.test("who connects to a server that has just been started again, before the coordinator does, waits for it", async () => {
  using bus = new MemoryBus();
  const coordinators = bus.connect();
  const listening = Promise.withResolvers<void>();
  const abort = new AbortController();
  const run = coordinate(coordinators, planOf(), { onListening: listening.resolve, signal: abort.signal });
  await listening.promise;
  bus.cutOff(coordinators);
  const asked = fetchRun(bus.connect(), "toy", "worker-0");
  await pause(500);
  bus.cutOff(coordinators, false);
  assert.equal((await asked).configHash, planOf().configHash);
  abort.abort();
  await run;
});

Deno.test("a coordinator that begins while the server goes away finds no rival in its silence", async () => {
  using bus = new MemoryBus();
  bus.isAway = true;
  setTimeout(() => bus.isAway = false, 1200);
  const listening = Promise.withResolvers<void>();
  const abort = new AbortController();
  const run = coordinate(bus.connect(), planOf(), { onListening: listening.resolve, signal: abort.signal });
  await Promise.race([listening.promise, run]);
  abort.abort();
  await run;
});
