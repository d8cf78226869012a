/** Worker and reducer processes are killed over our own NATS server, whose events say so: the others get their work within a second. @module */

import assert from "node:assert/strict";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { runProcesses } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import type { ToyOrder } from "./support/toy_worker.ts";

/** Milliseconds from a process's end to the order to the others, on a machine that does nothing else; a dead process had 5 s before. */
const BOUND = 3000;

Deno.test("workers that are killed in computing, uploading and between steps: others get their work soon, the bits are the same", async () => {
  const size = 150_000;
  const plan = toyPlan({
    steps: 16,
    microBatches: 8,
    startWorkers: 4,
    evaluation: { every: 0, microBatches: 0 },
  });
  const expected = await runSingle(new ToyReplica({ size }), plan);
  await using server = await startNatsServer();
  const diedAt = new Map<string, number>();
  const waited: number[] = [];
  const orders: Omit<ToyOrder, "url" | "run">[] = [
    { member: "a", size, pause: 20 },
    { member: "b", size, pause: 20, fault: { point: "before-forward", step: 3, way: "SIGKILL" } },
    { member: "c", size, pause: 20, fault: { point: "mid-upload", step: 6, way: "SIGKILL" } },
    { member: "d", size, pause: 20, fault: { point: "before-apply", step: 9, way: "SIGKILL" } },
  ];
  const outcome = await runProcesses(server, plan, orders, (event, workers) => {
    if (event.kind === "joined") {
      for (const [name, { status }] of workers) status.then(() => diedAt.set(name, performance.now()));
    }
    if (event.kind !== "left" || !event.error) return;
    assert.match(event.error, /its connection has ended, its process is probably dead; it was last seen/);
    waited.push(performance.now() - diedAt.get(event.member)!);
  });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.equal(waited.length, 3);
  assert.ok(waited.every((milliseconds) => milliseconds < BOUND), `${waited}`);
});
