/**
 * Times a whole training step of FLASH-pytorch's train.py model (dim 512, depth 8), as a run without workers does it:
 * gradient, mean, clipping, Adam. Arguments and fields are those of peer/bench_step.py.
 *
 *     deno run -A tests/bench/step.ts [--json] [--batch 1] [--seq 1024] [--threads 2] [--steps 8]
 *
 * @module
 */

import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { resolveConfig } from "../../src/config/config.ts";
import { DATA_BEGINS } from "../../src/data/microbatch.ts";
import { singleStep } from "../../src/dist/single.ts";
import { openReplica } from "../../src/run/replica/open_replica.ts";
import { uniformArray } from "../../src/prng.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { scriptArguments } from "../support/script.ts";

const STEP: Command = {
  usage: [["deno run -A tests/bench/step.ts [options]", "times training steps"]],
  positional: [],
  short: {},
  flags: [
    { name: "json", text: "Print one line of JSON." },
    { name: "batch", value: "N", text: "Sequences. Default 1.", number: wholeFrom(1) },
    { name: "seq", value: "N", text: "Tokens of a sequence. Default 1024.", number: wholeFrom(1) },
    { name: "threads", value: "N", text: "Default 2.", number: wholeFrom(1) },
    { name: "steps", value: "N", text: "Default 8.", number: wholeFrom(1) },
    HELP_FLAG,
  ],
};

/** What one run found. */
export interface StepTimes {
  peer: string;
  batch: number;
  seq: number;
  threads: number;
  /** In the median step after the first three. */
  tokens_per_second: number;
  /** Seconds from the start of the process to the end of the first step. */
  first_step_s: number;
  loss: number;
  /** Median of the steps in milliseconds. */
  step_ms: number;
  /** Largest resident memory of the process in MB. */
  peak_mb: number;
  /** Resident memory in MB, and number of tensors, at the end beyond those after the first three steps. */
  grown_mb: number;
  grown_tensors: number;
  /** Milliseconds between ticks of a 10 ms timer after the first step: what 99 % stay below, and the longest. */
  wait_p99_ms: number;
  wait_max_ms: number;
}

/** Steps before those that are counted. */
const WARM_UP = 3;

/** Collects the milliseconds between ticks of a 10 ms timer until it is stopped. */
function watchTimer(): { waits: number[]; stop: () => void } {
  const waits: number[] = [];
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    waits.push(now - last);
    last = now;
  }, 10);
  return { waits, stop: () => clearInterval(timer) };
}

/** The value that a share of the values stays below. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/** Largest resident memory of this process so far in MB. Deno reads /proc only with all permissions, `cat` does. */
function peakMemory(): number {
  const { stdout } = new Deno.Command("cat", { args: [`/proc/${Deno.pid}/status`] }).outputSync();
  return Math.round(Number(/VmHWM:\s*(\d+)/.exec(new TextDecoder().decode(stdout))?.[1]) / 1000);
}

/** What this process holds now. */
function holdings(): { bytes: number; tensors: number } {
  return { bytes: Deno.memoryUsage().rss, tensors: tf.memory().numTensors };
}

/** Runs the steps and says what was found. */
async function timeSteps(batch: number, seq: number, threads: number, steps: number): Promise<StepTimes> {
  const folder = await Deno.makeTempDir({ prefix: "flashmob-bench-" });
  const source = `${folder}/random`;
  await Deno.writeFile(source, Uint8Array.from(uniformArray(20 * seq, 0, "bytes", 0, 256)));
  const config = resolveConfig({
    model: { dim: 512, depth: 8, groupSize: 256, queryKeyDim: 128 },
    data: { source, seqLen: seq, validation: 0.1 },
    train: { batch, microBatch: batch, threads },
    optimizer: { learningRate: 2e-4, schedule: { kind: "constant" } },
    eval: { windows: batch },
  });
  const onStatus = (line: string) => console.error(`${(performance.now() / 1000).toFixed(1)} s ${line}`);
  const replica = await openReplica({ id: crypto.randomUUID(), config, origin: DATA_BEGINS }, {
    folder,
    onStatus,
  });
  await Deno.remove(folder, { recursive: true });

  let [{ loss }] = await singleStep(replica, 1);
  const firstStep = performance.now() / 1000; // since the process started
  const timer = watchTimer();
  const times: number[] = [];
  let before = holdings();
  for (let i = 1; i < WARM_UP + steps; i++) {
    if (i === WARM_UP) before = holdings();
    const begun = performance.now();
    [{ loss }] = await singleStep(replica, 1);
    times.push(performance.now() - begun);
  }
  timer.stop();
  const after = holdings();
  replica.dispose();
  const step = quantile(times.slice(WARM_UP - 1), 0.5);
  const round = (value: number, digits = 1) => Number(value.toFixed(digits));
  return {
    ...{ peer: "flashmob", batch, seq, threads },
    tokens_per_second: round(batch * seq / step * 1000),
    first_step_s: round(firstStep),
    loss: round(loss, 4),
    step_ms: round(step),
    peak_mb: peakMemory(),
    grown_mb: Math.round((after.bytes - before.bytes) / 1e6),
    grown_tensors: after.tensors - before.tensors,
    wait_p99_ms: round(quantile(timer.waits, 0.99)),
    wait_max_ms: round(Math.max(...timer.waits)),
  };
}

if (import.meta.main) {
  const { switches, numbers: { batch = 1, seq = 1024, threads = 2, steps = 8 } } = scriptArguments(STEP);
  const found = await timeSteps(batch, seq, threads, steps);
  if (switches.json) console.log(JSON.stringify(found));
  else console.table(found);
  Deno.exit(0);
}
