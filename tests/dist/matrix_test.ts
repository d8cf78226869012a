/**
 * Every place where a worker can die, every way to die, in runs of 2 and of 4 worker processes over a real NATS server. @module
 */

import assert from "node:assert/strict";
import type { FaultPoint } from "../../src/dist/protocol/fault_points.ts";
import type { CommittedStep, DistEvent } from "../../src/dist/replica/plan.ts";
import { type NatsServer, startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import type { WayToDie } from "./support/fault.ts";
import { runProcesses } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";

const POINTS: FaultPoint[] = [
  "before-forward",
  "before-upload",
  "mid-upload",
  "after-upload",
  "before-apply",
];
const WAYS: WayToDie[] = ["exception", "SIGTERM", "SIGKILL", "SIGSTOP"];
const SIZE = 150_000; // 3 parts
const STEPS = 5;
/** The step in which a worker is lost. */
const FAULT_STEP = 2;
/** Runs at the same time. */
const LANES = 5;
/** Seconds that may pass from one step to the next when a worker is lost: the deadline, and what a busy machine adds. */
const DEADLINE = 20;

const plan = toyPlan({
  steps: STEPS,
  evaluation: { every: 0, microBatches: 3 },
  heartbeatSeconds: 0.2,
  patienceSeconds: 2.5, // a healthy process may not be heard for a second on a busy machine
  silenceSeconds: 5,
  partBytes: 256 * 1024,
});

interface Case {
  point: FaultPoint;
  way: WayToDie;
  count: number;
}

/** Runs one case and says what was wrong. */
async function check(server: NatsServer, { point, way, count }: Case, paramsHash: string): Promise<string[]> {
  const run = `${point}-${way}-${count}`;
  const events: DistEvent[] = [];
  // Of four every other one shares memory, and not the one that is lost.
  const sharesMemory = (i: number) => count === 2 || i % 2 === 0;
  const orders = Array.from({ length: count }, (_, i) => (
    { member: `worker-${i}`, size: SIZE, sharesMemory: sharesMemory(i) }
  ));
  const faulty = { ...orders[count - 1], fault: { point, way, step: FAULT_STEP } };
  let slowest = 0, lastStepAt = 0;
  const outcome = await runProcesses(
    server,
    { ...plan, run, startWorkers: count },
    [...orders.slice(0, -1), faulty],
    (event, workers) => {
      events.push(event);
      if (event.kind === "left") {
        if (way === "SIGSTOP") workers.get(event.member)?.kill("SIGCONT");
      }
      if (event.kind !== "step") return;
      const now = performance.now() / 1000;
      if (lastStepAt > 0) slowest = Math.max(slowest, now - lastStepAt);
      lastStepAt = now;
    },
  );
  const problems: string[] = [];
  const expect = (holds: boolean, what: string) => holds || problems.push(`${run}: ${what}`);
  expect(outcome.paramsHash === paramsHash, "other parameters");
  expect(slowest < DEADLINE, `a step took ${slowest} s`);
  const left = events.filter((event) => event.kind === "left");
  expect(left.length >= 1 && left[0].member === faulty.member, `left: ${JSON.stringify(left)}`);
  expect((left[0]?.error !== undefined) === (way !== "SIGTERM"), `for a reason: ${left[0]?.error}`);
  const steps = events.filter((event) => event.kind === "step").map(({ committed }) => committed);
  expect(steps.map(({ step }) => step).join() === "1,2,3,4,5", "each step commits once");
  expect(steps.every(isWhole), "each micro-batch counts once");
  return problems;
}

function isWhole({ computed }: CommittedStep): boolean {
  return Object.values(computed).flat().sort().join() === "0,1,2,3,4,5,6,7";
}

Deno.test("wherever and however a worker is lost, the run continues and ends with the bits of a single process", async () => {
  const { paramsHash } = await runSingle(new ToyReplica({ size: SIZE }), plan);
  await using server = await startNatsServer();
  const cases = [2, 4].flatMap((count) =>
    POINTS.flatMap((point) => WAYS.map((way) => ({ point, way, count })))
  );
  const problems: string[] = [];
  const next = cases.values();
  const lane = async () => {
    for (const each of next) problems.push(...await check(server, each, paramsHash));
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  assert.deepEqual(problems, []);
});
