/** The coordinator dies at every point and another one takes over, over a bus in memory: the bits stay the same. @module */

import assert from "node:assert/strict";
import { type Composition, decodeFrame } from "../../src/dist/protocol/frames.ts";
import type { CoordinationPlan } from "../../src/dist/replica/plan.ts";
import { runSingle } from "../../src/dist/single.ts";
import { coordinate } from "../../src/dist/coordinator.ts";
import { GATHERING_HEARTBEATS } from "../../src/dist/coordinator/failover.ts";
import { type Answer, type Message, subjects, type Transport } from "../../src/dist/protocol/transport.ts";
import { runWorker } from "../../src/dist/worker.ts";
import type { WorkerEvent } from "../../src/dist/worker/options.ts";
import { fairWeather, MemoryBus, type Weather } from "./support/memory_bus.ts";
import { type CoordinatorFault, type RestartedRun, runWithRestarts } from "./support/restarts.ts";
import { CONFIG_HASH, RUN_ID, toyPlan, ToyReplica } from "./support/toy.ts";
import { storm } from "./support/weather.ts";

const STEPS = 8;

/** The run waits for all three: a worker that a new coordinator did not find in time would still be behind when it ends. */
const plan = (changes: Partial<CoordinationPlan> = {}) =>
  toyPlan({
    steps: STEPS,
    evaluation: { every: 3, microBatches: 5 },
    saveEvery: 3,
    startWorkers: 3,
    minWorkers: 3,
    ...changes,
  });

const toys = (count = 3) => Array.from({ length: count }, () => new ToyReplica());

/** A run against a single process: the same bits, each step and evaluation once on record, all replicas alike. */
async function assertSame(run: RestartedRun, replicas: ToyReplica[], plan: CoordinationPlan): Promise<void> {
  const alone = new ToyReplica();
  const expected = await runSingle(alone, plan);
  assert.deepEqual(run.workers, replicas.map(() => undefined));
  assert.equal(run.outcome.paramsHash, expected.paramsHash);
  assert.equal(run.outcome.valLoss, expected.valLoss);
  assert.deepEqual([run.outcome.tokens, run.outcome.loss], [expected.tokens, expected.loss]);
  const states = await Promise.all(replicas.map((replica) => replica.hashes()));
  assert.deepEqual(states, await Promise.all(replicas.map(() => alone.hashes())));
  assert.deepEqual(run.record.steps, Array.from({ length: plan.steps }, (_, i) => i + 1));
  assert.deepEqual(run.record.evaluations, [3, 6, 8]);
}

Deno.test("the coordinator dies between reduction and commit, right after a commit, while the members evaluate or save", async () => {
  const cases: [point: CoordinatorFault["point"], step: number][] = [
    ["before-commit", 4],
    ["after-commit", 4],
    ["evaluating", 3],
    ["saving", 3],
    ["before-commit", 1],
    ["after-commit", STEPS],
    ["saving", STEPS],
  ];
  for (const [point, step] of cases) {
    using bus = new MemoryBus();
    const replicas = toys();
    const run = await runWithRestarts(bus, replicas, plan(), [{ point, step }]);
    await assertSame(run, replicas, plan());
    const learned = run.events.find((event) => event.kind === "took over")!;
    const isOut = point !== "before-commit"; // what was sent in memory arrives
    assert.deepEqual([learned.step, learned.term], [isOut ? step : step - 1, 2], point);
    assert.ok(run.workerEvents.every((events) => events.some(({ kind }) => kind === "out")));
    assert.equal(run.outcome.stateBytes, 0, "who has the state needs no transfer");
  }
});

Deno.test("sums of the open step that the workers still have are offered again, not computed again", async () => {
  using bus = new MemoryBus();
  const replicas = toys();
  const run = await runWithRestarts(bus, replicas, plan(), [{ point: "before-commit", step: 4 }]);
  await assertSame(run, replicas, plan());
  assert.equal(replicas.flatMap(({ computed }) => computed).length, STEPS * 8);
});

/** Loses the commit of a step for all but the first worker that gets it. */
function onlyFirst(step: number): Weather {
  let count = 0;
  return (data) => {
    const frame = decodeFrame(data, "toy");
    const isIt = !("refused" in frame) && frame.kind === "commit" && frame.step === step && frame.term === 1;
    return isIt && count++ > 0 ? [] : [{ data, delay: 0 }];
  };
}

Deno.test("a commit that one member only has seen is final: the others get its state", async () => {
  using bus = new MemoryBus(onlyFirst(4));
  const replicas = toys();
  const run = await runWithRestarts(bus, replicas, plan(), [{ point: "after-commit", step: 4 }]);
  await assertSame(run, replicas, plan());
  const learned = run.events.find((event) => event.kind === "took over")!;
  assert.deepEqual([learned.step, learned.members.length], [4, 1]);
  assert.equal(run.outcome.stateBytes, 2 * 2 * 4 * 1000, "two replicas of two vectors");
});

Deno.test("coordinators die one after the other, also while they gather workers and hand out states", async () => {
  using bus = new MemoryBus(onlyFirst(4));
  const replicas = toys();
  const faults: CoordinatorFault[] = [
    { point: "after-commit", step: 4 },
    { point: "pinning", step: 4 },
    { point: "before-commit", step: 5 },
    { point: "before-commit", step: 5 },
    { point: "evaluating", step: 6 },
    { point: "after-commit", step: 6 },
  ];
  const run = await runWithRestarts(bus, replicas, plan(), faults);
  await assertSame(run, replicas, plan());
  const terms = run.events.flatMap((event) => event.kind === "took over" ? [event.term] : []);
  assert.deepEqual(terms, [2, 3, 4, 5, 6, 7]);
});

Deno.test("a coordinator is replaced while messages are lost, doubled, delayed and damaged", async () => {
  for (let seed = 0; seed < 2; seed++) {
    using bus = new MemoryBus(storm(seed, { lose: 0.05, double: 0.1, delay: 0.2, damage: 0.02 }));
    const replicas = toys();
    const stormy = plan({ heartbeatSeconds: 0.05 });
    const points: CoordinatorFault["point"][] = ["before-commit", "after-commit"];
    const faults = points.map((point, i) => ({ point, step: 3 + 2 * i }));
    await assertSame(await runWithRestarts(bus, replicas, stormy, faults), replicas, stormy);
  }
});

Deno.test("a worker that a new coordinator did not find in time is waited for, and is a member again", async () => {
  let isLost = false;
  const weather: Weather = (data) => {
    const frame = decodeFrame(data, "toy");
    return isLost && !("refused" in frame) && frame.sender === "w2" ? [] : fairWeather(data);
  };
  using bus = new MemoryBus(weather);
  const replicas = toys();
  const hasty = plan({ heartbeatSeconds: 0.05 });
  const strike = (end: Transport) => {
    isLost = true;
    setTimeout(() => isLost = false, 3 * 1000 * GATHERING_HEARTBEATS * hasty.heartbeatSeconds);
    end.close();
  };
  const run = await runWithRestarts(bus, replicas, hasty, [{ point: "before-commit", step: 4, strike }]);
  await assertSame(run, replicas, hasty);
  const learned = run.events.find((event) => event.kind === "took over")!;
  assert.deepEqual(learned.members.toSorted(), ["w0", "w1"]);
});

/** A connection whose owner can be frozen: it sends nothing, and what arrives waits until it wakes up. */
class FreezableEnd implements Transport {
  readonly maxPayload: number;
  readonly closed: Promise<Error | undefined>;
  #waiting: (() => void)[] | undefined;

  constructor(readonly end: Transport) {
    this.maxPayload = end.maxPayload;
    this.closed = end.closed;
  }

  get isConnected(): boolean {
    return this.end.isConnected;
  }

  get reconnectedAt(): number | undefined {
    return this.end.reconnectedAt;
  }

  freeze(): void {
    this.#waiting = [];
  }

  wake(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const receive of waiting) receive();
  }

  publish(subject: string, data: Uint8Array): void {
    if (!this.#waiting) this.end.publish(subject, data);
  }

  compose(subject: string, message: Composition): void {
    if (!this.#waiting) this.end.compose(subject, message);
  }

  request(subject: string, data: Uint8Array, timeoutSeconds: number): Promise<Answer> {
    return this.#waiting ? Promise.resolve("silence") : this.end.request(subject, data, timeoutSeconds);
  }

  subscribe(subject: string, receive: (message: Message) => void): () => void {
    return this.end.subscribe(subject, ({ subject, data, respond }) => {
      const answer = respond && ((answer: Uint8Array) => this.#waiting || respond(answer));
      const take = (data: Uint8Array) => receive({ subject, data, respond: answer });
      const kept = this.#waiting && data.slice();
      if (kept) this.#waiting!.push(() => take(kept));
      else take(data);
    });
  }

  flush(): Promise<void> {
    return this.end.flush();
  }

  close(): Promise<void> {
    return this.end.close();
  }
}

Deno.test("a coordinator that wakes up after it was replaced finds out, ends, and has changed nothing", async () => {
  for (const point of ["before-commit", "after-commit", "evaluating"] as const) {
    using bus = new MemoryBus();
    const replicas = toys();
    const ends: FreezableEnd[] = [];
    const connect = () => {
      ends.push(new FreezableEnd(bus.connect()));
      return ends.at(-1)!;
    };
    const run = await runWithRestarts(bus, replicas, plan(), [
      { point, step: 3, strike: () => ends[0].freeze() },
      { point: "after-commit", step: 6, strike: () => (ends[0].wake(), ends[1].close()) },
    ], connect);
    await assertSame(run, replicas, plan());
    const [first] = run.errors as Error[];
    assert.match(first.message, /another coordinator has taken over the run "toy", term 2; this one ends/);
  }
});

Deno.test("workers whose coordinator does not come back say so, and end after the silence allowed", async () => {
  using bus = new MemoryBus();
  const end = bus.connect();
  const short = plan({ silenceSeconds: 1, startWorkers: 1, minWorkers: 1 });
  const listening = Promise.withResolvers<void>();
  coordinate(end, short, { onListening: listening.resolve }).catch(() => {});
  await listening.promise;
  const events: WorkerEvent[] = [];
  const work = runWorker(bus.connect(), toys()[0], {
    run: "toy",
    id: RUN_ID,
    member: "w0",
    configHash: CONFIG_HASH,
    atHome: true,
    onEvent: (event) => {
      events.push(event);
      if (event.kind === "applied" && event.step === 2) end.close();
    },
  });
  await assert.rejects(work, /the coordinator of the run "toy" is gone, and no other came for 1 s/);
  assert.equal(events.filter(({ kind }) => kind === "alone").length, 1);
});

Deno.test("a second coordinator is refused, whether the first one answers or is only slow", async () => {
  using bus = new MemoryBus();
  const first = bus.connect();
  first.subscribe(subjects.from("toy", "*"), () => {}); // hears, and does not answer
  await assert.rejects(coordinate(bus.connect(), plan()), /another coordinator serves the run "toy"/);
});
