/** Who has sent and received what, also of workers that are gone when the run ends. @module */

import assert from "node:assert/strict";
import { outcomeOf } from "../../src/dist/membership.ts";
import { ElasticRun } from "./elastic_toys.ts";
import { MemoryBus } from "./memory_bus.ts";
import { begun } from "./paper.ts";
import { toyPlan, ToyReplica } from "./toy.ts";

Deno.test("the traffic of a worker counts once, also when it is lost and joins again", () => {
  const paper = begun();
  const tell = (member: string, bytesSent: number) => {
    const traffic = { bytesSent, bytesReceived: 2 * bytesSent, stateBytes: 1, staleOrders: 1 };
    paper.do({ kind: "status", member, step: 0, status: { phase: "ready", progress: bytesSent }, traffic });
  };
  tell("a", 100);
  tell("b", 7);
  tell("b", 10);
  paper.do({ kind: "leave", member: "b", error: "silence" });
  tell("b", 1000); // it is no member
  const { bytesSent, bytesReceived, stateBytes, dropped } = outcomeOf(paper.state, { damaged: 3 });
  assert.deepEqual([bytesSent, bytesReceived, stateBytes], [110, 220, 2]);
  assert.deepEqual(dropped, { damaged: 3, "stale orders": 2 });
  paper.join("b"); // the same process
  tell("b", 15);
  assert.equal(outcomeOf(paper.state, {}).bytesSent, 115);
  paper.do({ kind: "leave", member: "b" });
  paper.join("b", { nonce: "another process" });
  tell("b", 1);
  assert.equal(outcomeOf(paper.state, {}).bytesSent, 116);
});

Deno.test("what workers received that left or died before the end counts: a mean for each member and step", async () => {
  using bus = new MemoryBus();
  const plan = toyPlan({ steps: 6, startWorkers: 3, patienceSeconds: 1 });
  const run = new ElasticRun(bus, plan);
  const replicas = Array.from({ length: 3 }, () => new ToyReplica());
  await run.start("stays", replicas[0]);
  const leaves = await run.start("leaves", replicas[1], {
    onEvent: (event) => event.kind === "applied" && event.step === 2 && leaves.leave(),
  });
  const dies = await run.start("dies", replicas[2], {
    // After its sign of life: what is told of a step that it has ended.
    onEvent: (event) => event.kind === "applied" && event.step === 4 && setTimeout(() => dies.end.close()),
  });
  const { bytesReceived, bytesSent } = await run.outcome;
  const { size } = replicas[0];
  const means = run.steps.reduce((sum, { workers }) => sum + workers, 0);
  assert.deepEqual(run.steps.map(({ workers }) => workers), [3, 3, 2, 2, 1, 1]);
  assert.equal(bytesReceived, 4 * size * means);
  assert.ok(bytesSent >= 4 * size * means, "at least one sum of each");
});
