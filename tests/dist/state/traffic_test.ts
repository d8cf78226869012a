/** Who has sent and received what, also of workers that are gone when the run ends. @module */

import assert from "node:assert/strict";
import { outcomeOf } from "../../../src/dist/coordinator/state_machine.ts";
import { NO_TRAFFIC } from "../../../src/dist/state/traffic.ts";
import { ElasticRun } from "../support/elastic_toys.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { begun } from "../support/paper.ts";
import { toyPlan, ToyReplica, UNHURRIED } from "../support/toy.ts";

Deno.test("the traffic of a worker counts once, also when it is lost and joins again", () => {
  const paper = begun();
  const tell = (member: string, bytesSent: number) => {
    const traffic = {
      ...NO_TRAFFIC,
      bytesSent,
      bytesReceived: 2 * bytesSent,
      stateBytes: 1,
      staleOrders: 1,
    };
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

Deno.test("what a worker received that left before the end counts: a mean for each member and step", async () => {
  using bus = new MemoryBus();
  const evaluation = { every: 0, microBatches: 0 };
  const run = new ElasticRun(bus, toyPlan({ ...UNHURRIED, evaluation, steps: 4, startWorkers: 2 }), {
    sharesMemory: false,
  });
  const stays = new ToyReplica();
  await run.start("stays", stays);
  const leaves = await run.start("leaves", new ToyReplica(), {
    onEvent: (event) => event.kind === "applied" && event.step === 2 && leaves.leave(),
  });
  const { bytesReceived, bytesSent } = await run.outcome;
  assert.deepEqual(run.steps.map(({ workers }) => workers), [2, 2, 1, 1]);
  assert.equal(bytesReceived, 4 * stays.size * 6);
  assert.ok(bytesSent >= 4 * stays.size * 6, "and at least one sum for each");
});
