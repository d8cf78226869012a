/** Whole runs that average parameters, with processes. @module */

import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { metricsOf, Workplace } from "./support/runs.ts";

const dist = { mode: "average", localSteps: 3, warmupSteps: 2 } as const;

Deno.test("a run that averages parameters learns, and resumes with the same members as if it had not stopped", async () => {
  await using place = await Workplace.open();
  const config = (name: string, steps: number, workers = 2) =>
    place.config(name, { dist, train: { steps }, machine: { workers, sharedMemory: false } });
  const whole = await train(config("whole", 11));
  const { steps, evaluations } = metricsOf(place.run("whole"));
  assert.ok(whole.loss < steps[0].loss, "it learns");
  assert.deepEqual(steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual(evaluations.map(({ step }) => step), [5, 8, 11], "every 3 steps, at the ends of rounds");
  assert.deepEqual(
    steps.flatMap(({ step, bytesSent }) => bytesSent > 0 ? [step] : []),
    [1, 2, 5, 8, 11],
    "bytes travel when something is averaged",
  );
  assert.equal(steps.reduce((sum, { bytesSent }) => sum + bytesSent, 0), whole.bytesSent);

  await train(config("parts", 5));
  const resumed = await train(config("parts", 11), { resume: true });
  assert.equal(resumed.paramsHash, whole.paramsHash);
  assert.deepEqual(
    metricsOf(place.run("parts")).steps.map(({ loss }) => loss),
    steps.map(({ loss }) => loss),
  );

  const lines: string[] = [];
  const onEvent = (event: { kind: string; text?: string }) => void lines.push(event.text ?? "");
  await train(config("parts", 14, 3), { resume: true, onEvent });
  assert.equal(
    lines.filter((line) => /found no moments of/.test(line)).length,
    2,
    lines.join("\n"),
  );
  const last = metricsOf(place.run("parts")).steps.at(-1)!;
  assert.deepEqual([last.step, last.workers], [14, 3]);

  const gradients = { ...config("parts", 15), dist: { mode: "allreduce" as const } };
  assert.equal((await train(gradients, { resume: true })).steps, 15, "all members share the moments again");
});

Deno.test("without workers it is the run of one, bit for bit, resumed or not", async () => {
  await using place = await Workplace.open();
  const one = await train(place.config("one", { dist, train: { steps: 6 }, machine: { workers: 1 } }));
  await train(place.config("none", { dist, train: { steps: 5 } }));
  const none = await train(place.config("none", { dist, train: { steps: 6 } }), { resume: true });
  const whole = await train(place.config("whole", { dist, train: { steps: 6 } }));
  assert.equal(whole.paramsHash, one.paramsHash);
  assert.equal(none.steps, 6);
  assert.equal(none.paramsHash, one.paramsHash);
});

Deno.test("a run of averaged gradients can continue with averaged parameters", async () => {
  await using place = await Workplace.open();
  const config = (mode: "allreduce" | "average", steps: number) =>
    place.config("run", { dist: { mode, localSteps: 2 }, train: { steps } });
  await train(config("allreduce", 2));
  await train(config("average", 6), { resume: true });
  const rounds = metricsOf(place.run("run")).steps.map(({ round }) => round?.[1]);
  assert.deepEqual(rounds, [undefined, undefined, 4, 4, 6, 6]);
});
