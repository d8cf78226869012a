/**
 * What a configuration means for data and distribution.
 *
 * @module
 */

import { type Config, configHash, type RunConfig, runPart } from "../../config/config.ts";
import type { Corpus } from "../../data/corpus.ts";
import { type DataOrigin, MicroBatches } from "../../data/microbatch.ts";
import type { CoordinationPlan, DilocoPlan } from "../../dist/mod.ts";
import { promptsOf, textOf } from "./prompts.ts";

/** The micro-batches that a configuration makes of a corpus, from an origin on. */
export function microBatchesOf(
  { data, train, eval: { windows } }: RunConfig,
  corpus: Corpus,
  origin?: DataOrigin,
): MicroBatches {
  return new MicroBatches(corpus, {
    seqLen: data.seqLen,
    lengths: data.lengths,
    batch: train.batch,
    microBatch: train.microBatch,
    seed: train.seed,
    evalWindows: windows,
    origin,
  });
}

/** How DiLoCo averages parameters; undefined where gradients are all-reduced. */
export function dilocoOf({ dist }: RunConfig): DilocoPlan | undefined {
  const { mode, localSteps, warmupSteps, outerRate, outerMomentum } = dist;
  if (mode === "allreduce") return undefined;
  return { localSteps, warmupSteps, outer: { rate: outerRate, momentum: outerMomentum } };
}

/** The plan of a run, without what its folder holds: identity, place in the data, record. */
type PlanFromConfig = Omit<CoordinationPlan, "id" | "origin" | "startStep" | "startHash" | "record">;

/**
 * The plan of a run.
 *
 * @param startWorkers workers that it waits for before the first step
 * @throws {ConfigError} where the corpus is too short
 */
export function planOf(
  config: Config,
  corpus: Corpus,
  startWorkers: number = config.machine.minWorkers,
): PlanFromConfig {
  const { perStep, perEvaluation } = microBatchesOf(config, corpus);
  const { train, eval: { every }, checkpoint, dist, machine } = config;
  return {
    run: machine.run,
    config: runPart(config),
    configHash: configHash(config),
    steps: train.steps,
    microBatches: perStep,
    diloco: dilocoOf(config),
    evaluation: { every, microBatches: perEvaluation, prompts: promptsOf(config, corpus).map(textOf) },
    maxSkips: train.maxSkips,
    saveEvery: checkpoint.every,
    hashEvery: dist.hashEvery,
    mixed: dist.mixed,
    startWorkers,
    minWorkers: machine.minWorkers,
    codec: dist.codec,
    partBytes: dist.partBytes,
    windowBytes: dist.windowBytes,
    heartbeatSeconds: dist.heartbeatSeconds,
    patienceSeconds: dist.patienceSeconds,
    silenceSeconds: dist.silenceSeconds,
  };
}
