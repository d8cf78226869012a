/** Checkpoints of members elsewhere, collected by the coordinator: complete or not there, whatever happens meanwhile. @module */

import assert from "node:assert/strict";
import { decodeFrame } from "../../../src/dist/protocol/frames.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { ElasticRun, type ElasticWorker, MemoryStore, pause } from "../support/elastic_toys.ts";
import { fairWeather, MemoryBus, type Weather } from "../support/memory_bus.ts";
import { runWithRestarts } from "../support/restarts.ts";
import { toyPlan, ToyReplica } from "../support/toy.ts";
import { storm } from "../support/weather.ts";
import { hashesOf } from "../../../src/dist/replica/state_hash.ts";

const SIZE = 200_000; // some pieces a vector
const PLAN = { steps: 9, saveEvery: 3, evaluation: { every: 0, microBatches: 0 }, patienceSeconds: 1 };
const toy = () => new ToyReplica({ size: SIZE, beforeGradient: () => pause(2) });

/** States of an undisturbed run, by step. */
async function expected(steps: readonly number[]): Promise<string[]> {
  const hashes: string[] = [];
  const replica = new ToyReplica({
    size: SIZE,
    beforeApply: async (step) =>
      void (steps.includes(step - 1) && hashes.push((await replica.hashes()).state)),
  });
  await runSingle(replica, toyPlan({ ...PLAN, saveEvery: 0 }));
  return [...hashes, (await replica.hashes()).state];
}

/** Two workers elsewhere and a store; `meddle` gets to see each piece of a state. */
async function collected(
  weather: Weather,
  begun: (run: ElasticRun, workers: ElasticWorker[], bus: MemoryBus) => void = () => {},
) {
  using bus = new MemoryBus(weather);
  const store = new MemoryStore();
  const run = new ElasticRun(bus, toyPlan({ ...PLAN, startWorkers: 2 }), { checkpoints: store });
  const workers = [
    await run.start("a", toy(), { atHome: false }),
    await run.start("b", toy(), { atHome: false }),
  ];
  begun(run, workers, bus);
  const outcome = await run.outcome;
  return { store, run, outcome, workers: await Promise.all(workers.map(({ done }) => done)) };
}

/** Calls back once, at the first piece of a state that travels. */
function atFirstPiece(then: () => void): Weather {
  let isOver = false;
  return (data) => {
    const frame = decodeFrame(data, "toy");
    if (!isOver && !("refused" in frame) && frame.kind === "piece") {
      isOver = true;
      then();
    }
    return fairWeather(data);
  };
}

Deno.test("each checkpoint is the state that the members agreed on, though messages are lost and damaged", async () => {
  const { store, run, workers } = await collected(
    storm(5, { lose: 0.02, double: 0.03, delay: 0.05, damage: 0.01 }),
  );
  assert.deepEqual([...store.states.keys()], [3, 6, 9]);
  assert.deepEqual([...store.states.values()].map((state) => hashesOf(state).state), await expected([3, 6]));
  assert.deepEqual(workers, [undefined, undefined]);
  const saved = run.events.filter((event) => event.kind === "saved");
  assert.deepEqual(saved.map(({ step, place, elsewhere }) => [step, place, elsewhere]), [
    [3, "store/3", undefined],
    [6, "store/6", undefined],
    [9, "store/9", undefined],
  ]);
});

Deno.test("a writer that dies while its checkpoint is in flight: another member's is taken after the next step", async () => {
  let kill = () => {};
  const { store, run, outcome } = await collected(atFirstPiece(() => kill()), (run, workers) => {
    kill = () => {
      const writer = run.events.some(({ kind }) => kind === "left") ? undefined : workers[0];
      writer?.end.close();
    };
  });
  assert.ok(run.events.some((event) => event.kind === "left" && event.member === "a"));
  const [first, ...others] = store.states.keys();
  assert.ok(first === 3 || first === 4 || first === 5, `step ${first}`);
  assert.deepEqual(others.slice(-2), [6, 9]);
  assert.equal(outcome.paramsHash, hashesOf(store.states.get(9)!).params);
});

Deno.test("a server that is unreachable while a checkpoint is in flight: it arrives afterwards", async () => {
  let leave = () => {};
  const { store, workers } = await collected(atFirstPiece(() => leave()), (_run, _workers, bus) => {
    leave = () => {
      bus.isAway = true;
      setTimeout(() => bus.isAway = false, 700);
    };
  });
  assert.deepEqual([...store.states.keys()], [3, 6, 9]);
  assert.deepEqual(workers, [undefined, undefined]);
});

Deno.test("a folder that can't be written to: the member keeps its checkpoints, and the record says where", async () => {
  using bus = new MemoryBus();
  const replica = toy();
  const run = new ElasticRun(bus, toyPlan(PLAN), { checkpoints: new MemoryStore("no space") });
  const only = await run.start("a", replica, { atHome: false });
  await run.outcome;
  assert.equal(await only.done, undefined);
  assert.deepEqual(replica.saves, [3, 6, 9]);
  const saved = run.events.filter((event) => event.kind === "saved");
  assert.deepEqual(
    saved.map(({ elsewhere, place }) => [elsewhere, place]),
    [3, 6, 9].map((step) => [
      true,
      `checkpoint ${step}`,
    ]),
  );
  assert.ok(run.events.some((event) => event.kind === "unsaved" && /no space/.test(event.error)));
});

Deno.test("a state that is not the one agreed on does not get into the folder", async () => {
  using bus = new MemoryBus();
  const store = new MemoryStore();
  const liar = toy();
  const honest = liar.state.bind(liar);
  liar.state = async () => {
    const state = await honest();
    if (liar.step === 3) state.vectors.momentum[7] += 1; // what is copied is not what was hashed
    return state;
  };
  liar.hashes = async () => hashesOf(await honest());
  const run = new ElasticRun(bus, toyPlan({ ...PLAN, startWorkers: 2 }), { checkpoints: store });
  await run.start("a", liar, { atHome: false });
  await run.start("b", toy(), { atHome: false });
  await run.outcome;
  assert.deepEqual([...store.states.keys()], [6, 9]);
  assert.ok(run.events.some((event) => event.kind === "unsaved" && /another hash/.test(event.error)));
});

Deno.test("a coordinator that dies while a checkpoint is in flight: the next one collects the next checkpoint, same bits", async () => {
  const losePieces: Weather = (data) => {
    const frame = decodeFrame(data, "toy");
    return !("refused" in frame) && frame.kind === "piece" && frame.step === 3 ? [] : fairWeather(data);
  };
  using bus = new MemoryBus(losePieces);
  const store = new MemoryStore();
  const plan = toyPlan({ ...PLAN, startWorkers: 2, silenceSeconds: 3 });
  const { outcome, workers } = await runWithRestarts(
    bus,
    [toy(), toy()],
    plan,
    [{ point: "after-commit", step: 5 }],
    undefined,
    store,
  );
  assert.deepEqual([...store.states.keys()], [6, 9]);
  assert.deepEqual(workers, [undefined, undefined]);
  assert.equal(outcome.paramsHash, hashesOf(store.states.get(9)!).params);
  assert.equal(outcome.paramsHash, (await runSingle(new ToyReplica({ size: SIZE }), plan)).paramsHash);
});
