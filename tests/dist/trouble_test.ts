/** Trouble for real processes over a real NATS server; tests/soak/ does it for longer, with real replicas. @module */

import assert from "node:assert/strict";
import { keepNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { Growth } from "./support/growth.ts";
import { runProcesses } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import { Trouble } from "./support/trouble.ts";

const STEPS = 300;
/** A vector of 0.4 MB: one that is kept per step would be 90 MB between the looks that are compared. */
const SIZE = 100_000;
const SLACK = 60e6;

Deno.test("300 steps of processes killed, frozen and joining: each commits once, with the same bits, without growth", async () => {
  const plan = toyPlan({
    steps: STEPS,
    startWorkers: 2,
    evaluation: { every: 50, microBatches: 3 },
    saveEvery: 60,
    hashEvery: 40,
    heartbeatSeconds: 0.2,
    patienceSeconds: 1.5,
    silenceSeconds: 20,
  });
  const alone = await runSingle(new ToyReplica({ size: SIZE }), plan);
  const common = { size: SIZE, pause: 5 };
  const trouble = new Trouble(7, 0.08, 4);
  const growth = new Growth();
  const committed: number[] = [];
  await using server = await keepNatsServer({}, () => {});
  const outcome = await runProcesses(
    server,
    plan,
    [{ member: "w0", ...common }, { member: "w1", ...common }],
    (event, workers, start) => {
      if (event.kind !== "step") return;
      const { step, computed } = event.committed;
      committed.push(step);
      assert.deepEqual(Object.values(computed).flat().sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
      if (step % 5 === 0) growth.look([Deno.pid, ...[...workers.values()].map(({ pid }) => pid)]);
      const processes = new Map([...workers].map(([name, process]) => [name, { process }]));
      trouble.afterStep(event.committed, {
        workers: processes,
        start: (member) => start({ member, ...common }),
      });
    },
  );
  await trouble.over();
  assert.equal(outcome.paramsHash, alone.paramsHash);
  assert.deepEqual([outcome.tokens, outcome.valLoss], [alone.tokens, alone.valLoss]);
  assert.deepEqual(committed, Array.from({ length: STEPS }, (_, i) => i + 1));
  assert.ok(
    growth.settled >= 2 && growth.most < SLACK,
    `grew by ${growth.most}; resident memory in MB:\n${growth}`,
  );
  const { kill, freeze, leave, join } = trouble.counts;
  assert.ok(kill + freeze + leave >= 2 && join >= 2, JSON.stringify(trouble.counts));
});
