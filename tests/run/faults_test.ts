/** Workers with real replicas are lost in mid-step: some of the cases of tests/dist/matrix_test.ts, with the full stack. @module */

import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import type { ConfigInput } from "../../src/config/config.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import type { Fault } from "../dist/support/fault.ts";
import { runFlash } from "./support/flash_runs.ts";
import { metricsOf, recordOf, samplesOf, Workplace } from "./support/runs.ts";

const FAULT_STEP = 2;
const STEPS = 4;
/** Runs at the same time. */
const LANES = 2;
/** Seconds for a step in which a worker is lost: silence, and what a busy machine adds. */
const DEADLINE = 60;

interface Case extends Omit<Fault, "step"> {
  count: number;
}

// Every fault point, every way to die, two and four workers.
const CASES: Case[] = [
  { point: "before-forward", way: "SIGKILL", count: 4 },
  { point: "before-upload", way: "exception", count: 2 },
  { point: "mid-upload", way: "SIGSTOP", count: 2 },
  { point: "mid-upload", way: "SIGTERM", count: 4 },
  { point: "after-upload", way: "SIGKILL", count: 2 },
  { point: "before-apply", way: "SIGSTOP", count: 4 },
  { point: "before-apply", way: "exception", count: 2 },
];

const names = (count: number) => Array.from({ length: count }, (_, i) => ({ member: `worker-${i}` }));

function configOf(place: Workplace, name: string): ConfigInput {
  return place.config(name, {
    model: { dim: 64, queryKeyDim: 16 }, // 82,000 parameters: two parts
    train: { steps: STEPS },
    dist: {
      partBytes: 256 * 1024,
      windowBytes: 1024 * 1024,
      heartbeatSeconds: 0.5,
      patienceSeconds: 3,
      silenceSeconds: 6,
    },
    machine: { run: name, name: "here" },
  });
}

/** Runs one case and says what was wrong. */
async function check(
  place: Workplace,
  url: string,
  { point, way, count }: Case,
  calm: { paramsHash: string; samples: (number | null)[][] },
): Promise<string[]> {
  const run = `${point}-${way}-${count}`;
  const faulty = `worker-${count - 1}`;
  const members = names(count);
  const { summary, lines } = await runFlash(
    url,
    configOf(place, run),
    [...members.slice(0, -1), { member: faulty, fault: { point, way, step: FAULT_STEP } }],
    (event, workers) => {
      const isLost = event.kind === "happened" && event.text?.startsWith(`${faulty} left`);
      if (isLost && way === "SIGSTOP") workers.get(faulty)!.process.kill("SIGCONT");
    },
  );
  const problems: string[] = [];
  const expect = (holds: boolean, what: string) => holds || problems.push(`${run}: ${what}`);
  expect(summary.paramsHash === calm.paramsHash, "other parameters");
  const left = lines.filter((line) => line.startsWith(`${faulty} left`));
  const hasReason = (line: string) => / left \(/.test(line);
  expect(left.some((line) => hasReason(line) === (way !== "SIGTERM")), `for a reason: ${left}`);
  const { steps } = metricsOf(place.run(run));
  const record = recordOf(place.run(run));
  expect(steps.map(({ step }) => step).join() === "1,2,3,4", "each step commits once");
  for (const { step, computed, samples } of record) {
    expect(Object.values(computed).flat().sort().join() === "0,1,2,3,4,5", "each micro-batch counts once");
    expect(samples.join() === calm.samples[step - 1].join(), `other samples in step ${step}`);
  }
  expect(record.map(({ step }) => step).join() === "1,2,3,4", "each step is on record once");
  for (const { step, tokens, tokensPerSecond } of steps) {
    expect(tokens / tokensPerSecond < DEADLINE, `step ${step} took ${tokens / tokensPerSecond} s`);
  }
  return problems;
}

Deno.test("a full stack that loses a worker, wherever and however, ends with the bits of an undisturbed one", async () => {
  await using place = await Workplace.open();
  await using server = await startNatsServer();
  const alone = await train(configOf(place, "alone"));
  const calm = await runFlash(server.url, configOf(place, "calm"), names(2));
  assert.equal(calm.summary.paramsHash, alone.paramsHash);
  const samples = samplesOf(place.run("calm"));
  const problems: string[] = [];
  const next = CASES.values();
  const lane = async () => {
    for (const each of next) {
      problems.push(...await check(place, server.url, each, { ...alone, samples }));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  assert.deepEqual(problems, []);
});
