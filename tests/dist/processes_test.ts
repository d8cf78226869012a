/** Real processes and a real NATS server. @module */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { coordinate } from "../../src/dist/coordinator.ts";
import { connectNats } from "../../src/dist/nats_transport.ts";
import type { CoordinationPlan, DistEvent, RunOutcome } from "../../src/dist/plan.ts";
import { startNatsServer } from "../../src/dist/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { toyPlan, ToyReplica } from "./toy.ts";
import type { ToyOrder } from "./toy_worker.ts";

function startToyWorker(order: ToyOrder): Deno.ChildProcess {
  const script = fileURLToPath(new URL("./toy_worker.ts", import.meta.url));
  const settings = fileURLToPath(new URL("../../deno.json", import.meta.url));
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", settings, "-A", script, JSON.stringify(order)],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

/** Coordinates worker processes; waits until they have ended. */
async function runProcesses(
  plan: CoordinationPlan,
  orders: Omit<ToyOrder, "url" | "run">[],
  onEvent: (event: DistEvent, workers: Deno.ChildProcess[]) => void = () => {},
): Promise<RunOutcome> {
  await using server = await startNatsServer();
  const transport = await connectNats(server.url, "coordinator");
  let workers: Deno.ChildProcess[] = [];
  try {
    return await coordinate(transport, plan, {
      onListening: () =>
        workers = orders.map((order) => startToyWorker({ url: server.url, run: plan.run, ...order })),
      onEvent: (event) => onEvent(event, workers),
    });
  } finally {
    await transport.close();
    await Promise.all(workers.map((worker) => worker.status));
  }
}

Deno.test("a worker whose event loop is blocked for 3 s while vectors travel loses nothing", async () => {
  const size = 6_000_000; // 24 MB: more than the window
  const plan = toyPlan({
    steps: 2,
    microBatches: 2,
    minWorkers: 2,
    evaluation: { every: 0, microBatches: 0 },
  });
  const expected = await runSingle(new ToyReplica({ size }), plan);
  let slowest = 0;
  const outcome = await runProcesses(plan, [
    { member: "worker-0", size },
    { member: "worker-1", size, block: { step: 1, seconds: 3 } },
  ], (event) => {
    if (event.kind === "step") slowest = Math.max(slowest, event.committed.seconds);
  });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.ok(slowest > 3, "it was blocked");
  assert.ok(slowest < 10, `${slowest} s`);
});

Deno.test("a worker that is killed ends the run within seconds, and the other worker ends, too", async () => {
  let killedAt = 0;
  const run = runProcesses(
    toyPlan({ steps: 1_000_000, minWorkers: 2 }),
    [{ member: "worker-0", size: 1000 }, { member: "worker-1", size: 1000 }],
    (event, workers) => {
      if (event.kind !== "step" || killedAt > 0) return;
      killedAt = performance.now();
      workers[1].kill("SIGKILL");
    },
  );
  await assert.rejects(run, /worker-1 failed: its connection has ended, its process is probably dead/);
  assert.ok(performance.now() - killedAt < 9000);
});
