/** Worker processes that average parameters are killed and frozen in the middle of a round. @module */

import assert from "node:assert/strict";
import type { FaultPoint } from "../../src/dist/protocol/fault_points.ts";
import type { CommittedStep, DistEvent } from "../../src/dist/replica/plan.ts";
import { type NatsServer, startNatsServer } from "../../src/dist/nats/server.ts";
import { averagingToy, DILOCO, roundOnPaper } from "./support/average_toys.ts";
import type { WayToDie } from "./support/fault.ts";
import { runProcesses } from "./support/run_processes.ts";
import { toyPlan } from "./support/toy.ts";
import type { Range } from "../../src/dist/vectors/tree.ts";

const size = 150_000; // 3 parts
const plan = toyPlan({
  steps: 9,
  diloco: { localSteps: 3, warmupSteps: 0, outer: DILOCO },
  startWorkers: 3,
  evaluation: { every: 0, microBatches: 0 },
  heartbeatSeconds: 0.2,
  patienceSeconds: 1.5,
  silenceSeconds: 3,
  partBytes: 256 * 1024,
});
const MEMBERS = ["worker-0", "worker-1", "worker-2"];
/** The first of the second round. */
const FAULT_STEP = 4;

/** The parameters after these rounds, of members that shared them like this. */
async function onPaper(steps: readonly CommittedStep[]): Promise<string> {
  const toys = new Map(MEMBERS.map((member) => [member, averagingToy({ size })]));
  for (const { step, round, computed } of steps) {
    if (step !== round?.[1]) continue;
    const shares = Object.entries(computed)
      .map(([member, own]) => ({ member, share: [own[0], own.at(-1)! + 1] as const satisfies Range }))
      .sort((a, b) => a.share[0] - b.share[0]);
    const members = shares.map(({ member }) => toys.get(member)!);
    await roundOnPaper(members, shares.map(({ share }) => share), round[1] - round[0] + 1);
  }
  return (await toys.get(MEMBERS[0])!.hashes()).params;
}

/** A run in which the last worker is lost, with what it was to compute in that round. */
async function runWithLoss(server: NatsServer, point: FaultPoint, way: WayToDie) {
  const events: DistEvent[] = [];
  const orders = MEMBERS.map((member) => ({ member, size, pause: 5, averages: true }));
  const lost = { ...orders[2], fault: { point, way, step: FAULT_STEP } };
  const run = `round-${point}-${way}`;
  const outcome = await runProcesses(
    server,
    { ...plan, run },
    [orders[0], orders[1], lost],
    (event, workers) => {
      events.push(event);
      if (event.kind === "left" && way === "SIGSTOP") workers.get(event.member)?.kill("SIGKILL");
    },
  );
  const steps = events.flatMap((event) => event.kind === "step" ? event.committed : []);
  const dropped = events.filter((event) => event.kind === "dropped");
  return { outcome, steps, dropped };
}

Deno.test("a worker process that is killed or frozen in a round is left out of it, and the others continue", async () => {
  await using server = await startNatsServer();
  const cases: [FaultPoint, WayToDie][] = [
    ["before-forward", "SIGKILL"],
    ["before-forward", "SIGSTOP"],
    ["before-upload", "exception"],
    ["mid-upload", "SIGKILL"],
  ];
  for (const [point, way] of cases) {
    const { outcome, steps, dropped } = await runWithLoss(server, point, way);
    const what = `${way} ${point}`;
    assert.deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9], what);
    assert.equal(dropped.length, 1, what);
    const [{ member, steps: round, microBatches: [lo, hi] }] = dropped;
    assert.deepEqual([member, round], [MEMBERS[2], [4, 6]], what);
    for (const { step, samples, computed } of steps) {
      const isLost = step >= 4 && step <= 6;
      samples.forEach((crc, i) => assert.equal(crc === null, isLost && lo <= i && i < hi, what));
      assert.equal(MEMBERS[2] in computed, step <= 3, `${what}: step ${step}`);
    }
    assert.equal(outcome.paramsHash, await onPaper(steps), what);
  }
});

Deno.test("a round counts when a worker process is killed after it, before it has applied the mean", async () => {
  await using server = await startNatsServer();
  const { outcome, steps, dropped } = await runWithLoss(server, "before-apply", "SIGKILL");
  assert.deepEqual(dropped, []);
  assert.ok(steps.every(({ samples }) => !samples.includes(null)));
  assert.deepEqual(steps.map(({ computed }) => MEMBERS[2] in computed), [
    ...[true, true, true],
    ...[true, true, true],
    ...[false, false, false],
  ]);
  assert.equal(outcome.paramsHash, await onPaper(steps));
});
