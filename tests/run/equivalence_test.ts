import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { metricsOf, recordOf, samplesOf, valLossesOf, Workplace } from "./support/runs.ts";

Deno.test("no worker, one, two, three or four: the same parameters, and each micro-batch computed once", async () => {
  await using place = await Workplace.open();
  const alone = await train(place.config("0"));
  const reference = metricsOf(place.run("0"));
  assert.ok(alone.loss < reference.steps[0].loss, "it learns");
  for (const workers of [1, 2, 3, 4]) {
    const name = String(workers);
    const summary = await train(place.config(name, { machine: { workers } }));
    assert.equal(summary.paramsHash, alone.paramsHash);
    assert.equal(summary.valLoss, alone.valLoss);
    const { steps } = metricsOf(place.run(name));
    assert.deepEqual(valLossesOf(place.run(name)), valLossesOf(place.run("0")));
    assert.deepEqual(samplesOf(place.run(name)), samplesOf(place.run("0")));
    for (const { computed } of recordOf(place.run(name))) {
      assert.deepEqual(Object.values(computed).flat().sort(), [0, 1, 2, 3, 4, 5]);
    }
    assert.equal(steps.length, 6);
    steps.forEach((step, i) => {
      const { loss, tokens, gradNorm, lr, applied } = reference.steps[i];
      assert.deepEqual([step.loss, step.tokens, step.gradNorm, step.lr], [loss, tokens, gradNorm, lr]);
      assert.equal(step.applied, applied);
      assert.equal(step.workers, workers);
    });
  }
});

Deno.test("dropout and documents of different lengths don't depend on the number of workers either", async () => {
  await using place = await Workplace.open();
  const lines = Array.from({ length: 200 }, (_, i) => "word ".repeat(1 + i % 9) + i);
  await Deno.writeTextFile(place.text, lines.join("\n"));
  const changes = {
    model: { attnDropout: 0.2 },
    data: { documents: true, seqLen: 40 },
    train: { microBatch: 2 },
  };
  const alone = await train(place.config("alone", changes));
  const three = await train(place.config("three", { ...changes, machine: { workers: 3 } }));
  assert.equal(three.paramsHash, alone.paramsHash);
  const tokens = metricsOf(place.run("alone")).steps.map((step) => step.tokens);
  assert.ok(new Set(tokens).size > 1, "the steps counted different numbers of tokens");
});

Deno.test("a resumed run ends as if it had not stopped, with another number of workers too", async () => {
  await using place = await Workplace.open();
  const model = { attnDropout: 0.1 };
  const whole = await train(place.config("whole", { model, train: { steps: 7 } }));
  await train(place.config("parts", { model, train: { steps: 3 }, machine: { workers: 2 } }));
  const config = place.config("parts", { model, train: { steps: 7 }, machine: { workers: 3 } });
  const resumed = await train(config, { resume: true });
  assert.equal(resumed.paramsHash, whole.paramsHash);
  assert.deepEqual(metricsOf(place.run("parts")).steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7]);
});
