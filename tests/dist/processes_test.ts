/** Real processes and a real NATS server. @module */

import assert from "node:assert/strict";
import type { DistEvent } from "../../src/dist/replica/plan.ts";
import { keepNatsServer, startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { killServer, runProcesses } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";

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
  const outcome = await runProcesses(server, plan, [
    { member: "worker-0", size },
    { member: "worker-1", size, block: { step: 1, seconds: 3 } },
  ], (event) => {
    if (event.kind === "step") slowest = Math.max(slowest, event.committed.seconds);
  });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.ok(slowest > 3, "it was blocked");
  assert.ok(slowest < 30, `${slowest} s`);
});

Deno.test("a worker that was frozen joins again, gets the state that it missed, and computes again", async () => {
  const size = 150_000;
  const plan = toyPlan({
    steps: 60,
    startWorkers: 2,
    evaluation: { every: 0, microBatches: 0 },
    heartbeatSeconds: 0.2,
    patienceSeconds: 1,
    silenceSeconds: 2,
  });
  const pause = 15; // ms for each micro-batch: time to come back
  const expected = await runSingle(new ToyReplica({ size }), plan);
  const events: DistEvent[] = [];
  await using server = await startNatsServer();
  const outcome = await runProcesses(server, plan, [
    { member: "steady", size, pause },
    { member: "frozen", size, pause, fault: { point: "mid-upload", step: 3, way: "SIGSTOP" } },
  ], (event, workers) => {
    events.push(event);
    const alone = events.filter((each) => each.kind === "step" && each.committed.workers === 1);
    if (event.kind === "step" && alone.length === 3) workers.get("frozen")!.kill("SIGCONT");
  });
  assert.equal(outcome.paramsHash, expected.paramsHash);
  const left = events.find((event) => event.kind === "left");
  assert.match(left!.error!, /no heartbeat came from it for \d/);
  assert.ok(events.some((event) => event.kind === "joining" && event.member === "frozen"));
  const last = events.findLast((event) => event.kind === "step")!.committed;
  assert.ok(last.workers === 2 && last.generation >= 3, "it is a member again");
  assert.ok(outcome.dropped.stale > 0, "what it had sent before was not taken");
});

Deno.test("the only worker freezes: the run waits, and continues with its state when it wakes up", async () => {
  const plan = toyPlan({ steps: 6, heartbeatSeconds: 0.2, patienceSeconds: 1, silenceSeconds: 2 });
  for (const point of ["mid-upload", "before-apply"] as const) {
    const size = 150_000;
    const expected = await runSingle(new ToyReplica({ size }), plan);
    await using server = await startNatsServer();
    const reasons: string[] = [];
    const outcome = await runProcesses(
      server,
      plan,
      [{ member: "only", size, fault: { point, step: 3, way: "SIGSTOP" } }],
      (event, workers) => {
        if (event.kind === "waiting") reasons.push(event.reason);
        if (event.kind === "left" && event.error) workers.get("only")!.kill("SIGCONT");
      },
    );
    assert.equal(outcome.paramsHash, expected.paramsHash);
    assert.match(reasons.at(-1)!, /^step [23] is done, waiting for workers: 0 of 1 are here/);
    assert.equal(outcome.stateBytes, 0);
  }
});

Deno.test("the NATS server is killed in the middle of a step: it is started again, all connect again, no member is lost", async () => {
  const size = 150_000;
  const plan = toyPlan({
    steps: 8,
    startWorkers: 2,
    evaluation: { every: 0, microBatches: 0 },
    heartbeatSeconds: 0.2,
  });
  const expected = await runSingle(new ToyReplica({ size }), plan);
  let restarts = 0;
  await using server = await keepNatsServer({}, () => restarts++);
  const events: DistEvent[] = [];
  const outcome = await runProcesses(
    server,
    plan,
    [{ member: "worker-0", size, pause: 20 }, { member: "worker-1", size, pause: 20 }],
    (event) => {
      events.push(event);
      const isThird = event.kind === "step" && event.committed.step === 3;
      if (isThird) setTimeout(() => killServer(), 60); // while micro-batches are computed
    },
  );
  assert.equal(restarts, 1);
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.deepEqual(events.filter((event) => event.kind === "left"), []);
});
