/** What record.jsonl says of the samples and of who computed them, in a run that loses a worker. @module */

import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import { type Config, resolveConfig } from "../../src/config/config.ts";
import { loadCorpus } from "../../src/data/corpus.ts";
import { windowOffset } from "../../src/data/windows.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { microBatchesOf } from "../../src/run/replica/run_plan.ts";
import { runFlash } from "./support/flash_runs.ts";
import { recordOf, Workplace } from "./support/runs.ts";

const SEQ_LEN = 24;
const BATCH = 6;
const FAULT_STEP = 4;

const crcOf = (ids: Int32Array) => crc32(new Uint8Array(ids.buffer));

/** The CRC of each window of an epoch, read from the text itself, in its order. */
function crcsOfEpoch(text: Uint8Array, seed: number, epoch: number): number[] {
  const crcs: number[] = [];
  for (let at = windowOffset(text.length, SEQ_LEN, seed, epoch); at + SEQ_LEN < text.length; at += SEQ_LEN) {
    crcs.push(crcOf(Int32Array.from(text.subarray(at, at + SEQ_LEN))));
  }
  return crcs;
}

/** What each step was fed by the sampler's word, a CRC per micro-batch. */
async function crcsOfSteps(config: Config, steps: number): Promise<number[][]> {
  const data = microBatchesOf(config, await loadCorpus(config.data.source, config.data));
  return Array.from(
    { length: steps },
    (_, i) => Array.from({ length: BATCH }, (_, j) => crcOf(data.train(i + 1, j).ids)),
  );
}

Deno.test("over an epoch the samples are the corpus, each once, though a worker dies; only its range is computed again", async () => {
  await using place = await Workplace.open();
  const lines = Array.from({ length: 60 }, (_, i) => `line ${i}\n`).join("");
  await Deno.writeTextFile(place.text, lines);
  const input = place.config("run", {
    data: { seqLen: SEQ_LEN, validation: 0.1 },
    train: { steps: 10, batch: BATCH },
    machine: { run: "run" },
  });
  const config = resolveConfig(input);
  await using server = await startNatsServer();
  const { workers } = await runFlash(server.url, input, [
    { member: "a" },
    { member: "b" },
    { member: "dead", fault: { point: "before-upload", way: "SIGKILL", step: FAULT_STEP } },
  ]);

  const steps = recordOf(place.run("run"));
  assert.deepEqual(steps.map(({ samples }) => samples), await crcsOfSteps(config, 10));
  const fed = steps.flatMap(({ samples }) => samples);
  const { train } = await loadCorpus(place.text, config.data);
  let epochs = 0;
  for (let at = 0;; epochs++) {
    const corpus = crcsOfEpoch(train, config.train.seed, epochs);
    if (at + corpus.length > fed.length) break;
    assert.equal(new Set(corpus).size, corpus.length, "all windows differ");
    assert.deepEqual(fed.slice(at, at + corpus.length).sort(), corpus.sort(), `epoch ${epochs}`);
    at += corpus.length;
  }
  assert.ok(epochs >= 2, `${epochs} epochs`);

  for (const { step, computed } of steps) {
    const inStep = (member: string) =>
      workers.get(member)!.computed.filter((each) => each.step === step).map(({ microBatch }) => microBatch);
    const all = [...workers.keys()].flatMap(inStep);
    const again = step === FAULT_STEP ? inStep("dead") : [];
    assert.deepEqual(all.sort(), [0, 1, 2, 3, 4, 5, ...again].sort(), `step ${step}`);
    assert.equal(again.length > 0, step === FAULT_STEP);
    for (const [member, counted] of Object.entries(computed)) {
      assert.deepEqual(counted.sort(), inStep(member).sort(), `what ${member} did in step ${step}`);
    }
    assert.equal("dead" in computed, step < FAULT_STEP);
  }
});
