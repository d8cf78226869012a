/** Reducers as processes of their own, over a real NATS server: they die, freeze, leave and come back. @module */

import assert from "node:assert/strict";
import type { DistEvent } from "../../src/dist/replica/plan.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { runProcesses, startToyReducer } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import type { ToyReducerOrder } from "./support/toy_reducer.ts";
import type { ToyOrder } from "./support/toy_worker.ts";
import type { CodecName } from "../../src/dist/vectors/codec.ts";

const SIZE = 450_000; // 7 parts of float32, 3 of int8
const plan = toyPlan({
  steps: 8,
  microBatches: 4,
  evaluation: { every: 0, microBatches: 0 },
  partBytes: 256 * 1024,
  heartbeatSeconds: 0.2,
  patienceSeconds: 1.5,
  silenceSeconds: 3,
});

/** Runs reducers and workers; the workers start when the reducers are there. */
async function run(
  reducers: Omit<ToyReducerOrder, "url" | "run">[],
  workers: Omit<ToyOrder, "url" | "run" | "size">[],
  { codec = "float32", onEvent = () => {} }: {
    codec?: CodecName;
    onEvent?: (event: DistEvent, processes: ReadonlyMap<string, Deno.ChildProcess>) => void;
  } = {},
) {
  await using server = await startNatsServer();
  const events: DistEvent[] = [];
  const processes = new Map<string, Deno.ChildProcess>();
  const startReducers = () => {
    for (const order of reducers) {
      processes.set(order.reducer, startToyReducer({ url: server.url, run: plan.run, ...order }));
    }
  };
  const outcome = await runProcesses(
    server,
    { ...plan, codec, startWorkers: workers.length },
    [],
    (event, started, start) => {
      events.push(event);
      if (event.kind === "waiting" && processes.size === 0) startReducers();
      if (event.kind === "reducerJoined" && event.reducers === reducers.length && started.size === 0) {
        for (const order of workers) start({ size: SIZE, pause: 10, ...order });
      }
      onEvent(event, processes);
    },
  );
  const ends = await Promise.all([...processes.values()].map(({ status }) => status));
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  assert.deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8], "each step commits once");
  return { outcome, events, ends };
}

/** What was told of reducers, without reasons. */
function reducersOf(events: DistEvent[]): string[] {
  return events.flatMap((event) =>
    event.kind === "reducerJoined" || event.kind === "reducerLeft" ? `${event.kind} ${event.reducer}` : []
  );
}

const bits = runSingle(new ToyReplica({ size: SIZE }), plan).then(({ paramsHash }) => paramsHash);
const workers = [{ member: "worker-0" }, { member: "worker-1" }];

Deno.test("reducers that are killed in the middle of a step are replaced in it, by each other, then by the coordinator", async () => {
  const { outcome, events } = await run([
    { reducer: "x", fault: { step: 2, at: "second mean", way: "SIGKILL" } },
    { reducer: "y", fault: { step: 4, at: "first mean", way: "SIGKILL" } },
  ], workers);
  assert.equal(outcome.paramsHash, await bits);
  assert.deepEqual(reducersOf(events).slice(2), ["reducerLeft x", "reducerLeft y"]);
  assert.deepEqual(events.filter(({ kind }) => kind === "left"), []);
});

Deno.test("a reducer that is frozen is replaced; it wakes up, is ignored, and reduces again from a later step on", async () => {
  const { outcome, events, ends } = await run(
    [{ reducer: "x" }, { reducer: "y", fault: { step: 2, at: "second mean", way: "SIGSTOP" } }],
    workers,
    {
      onEvent: (event, processes) => {
        if (event.kind === "step" && event.committed.step === 2) processes.get("y")!.kill("SIGCONT");
      },
    },
  );
  assert.equal(outcome.paramsHash, await bits);
  assert.deepEqual(reducersOf(events).slice(2, 4), ["reducerLeft y", "reducerJoined y"]);
  assert.ok(ends.every(({ success }) => success), "they end with the run");
});

Deno.test("in an int8 run a reducer that is lost takes its residuals with it; replicas stay equal", async () => {
  const { outcome, events } = await run(
    [{ reducer: "x" }, { reducer: "y", fault: { step: 3, at: "first mean", way: "SIGKILL" } }],
    workers,
    { codec: "int8" },
  );
  assert.notEqual(outcome.paramsHash, "", "states were compared at the end");
  const dropped = events.filter(({ kind }) => kind === "residualsDropped");
  assert.deepEqual(dropped, [{ kind: "residualsDropped", holder: "y", reason: "it left" }]);
});

Deno.test("a worker is killed while reducers pull its sum, another reducer leaves: the bits of a single process", async () => {
  const { outcome, events } = await run(
    [{ reducer: "x" }, { reducer: "y", fault: { step: 5, at: "first mean", way: "SIGTERM" } }],
    [{ member: "worker-0" }, {
      member: "worker-1",
      fault: { point: "mid-upload", step: 3, way: "SIGKILL" },
    }],
  );
  assert.equal(outcome.paramsHash, await bits);
  assert.equal(events.find((event) => event.kind === "left")!.member, "worker-1");
  assert.deepEqual(reducersOf(events).slice(2), ["reducerLeft y"]);
});
