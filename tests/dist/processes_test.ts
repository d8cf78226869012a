/** Real processes and a real NATS server. @module */

import assert from "node:assert/strict";
import { startNatsServer } from "../../src/dist/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { runProcesses } from "./run_processes.ts";
import { toyPlan, ToyReplica } from "./toy.ts";

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
  await using server = await startNatsServer();
  const outcome = await runProcesses(server.url, plan, [
    { member: "worker-0", size },
    { member: "worker-1", size, block: { step: 1, seconds: 3 } },
  ], (event) => {
    if (event.kind === "step") slowest = Math.max(slowest, event.committed.seconds);
  });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.ok(slowest > 3, "it was blocked");
  assert.ok(slowest < 10, `${slowest} s`);
});
