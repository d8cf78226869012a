/**
 * What a run is, for the person who starts it: computed from configuration and text, without TensorFlow.
 *
 * @module
 */

import { type Config, runPart } from "../../config/config.ts";
import type { Corpus } from "../../data/corpus.ts";
import { type DataOrigin, samplesAfter } from "../../data/microbatch.ts";
import { flopsPerToken, resolveTransformer } from "../../model/options.ts";
import { defineTransformer } from "../../model/parameters.ts";
import { gpuNames } from "../../tensorflow/library.ts";
import type { RunCard } from "../folder/events.ts";
import { expectedMemory } from "./expected_memory.ts";
import { microBatchesOf } from "./run_plan.ts";

const FLOAT_BYTES = 4;

/**
 * The card of a run.
 *
 * @param origin where its data begins or continues
 * @param computes whether this machine starts processes that compute, and does not only coordinate those of others
 */
export async function runCard(
  config: Config,
  corpus: Corpus,
  origin: DataOrigin,
  computes: boolean,
): Promise<RunCard> {
  const { model, data, train, machine } = config;
  const parameters = defineTransformer(resolveTransformer(model)).layout.size;
  const batches = microBatchesOf(runPart(config), corpus, origin);
  return {
    folder: machine.out,
    run: machine.run,
    model: {
      parameters,
      bytes: FLOAT_BYTES * parameters,
      flopsPerToken: flopsPerToken(model, data.seqLen),
    },
    text: {
      source: data.source,
      training: corpus.train.length,
      validation: corpus.validation.length,
      epochs: samplesAfter(train.steps, train.batch, origin) / batches.perEpoch,
    },
    batch: { tokens: train.batch * data.seqLen, microBatches: batches.perStep },
    ...(computes ? { machine: await machineOf(config, corpus, parameters) } : {}),
  };
}

/** What computes, in how many processes. */
async function machineOf(
  { model, data, train, machine }: Config,
  corpus: Corpus,
  parameters: number,
): Promise<RunCard["machine"]> {
  const { workers, backend, device } = machine;
  const [gpu] = backend === "cpu" || device === "cpu" ? [] : await gpuNames();
  const memory = gpu === undefined && backend === "tensorflow"
    ? expectedMemory(model, { parameters, tokens: train.microBatch * data.seqLen, text: corpus.bytes })
    : undefined;
  return {
    workers,
    device: gpu ?? (backend === "cpu" ? "cpu, in JavaScript" : "cpu"),
    threads: backend === "cpu" ? 1 : train.threads,
    ...(memory === undefined ? {} : { memory }),
  };
}
