/**
 * The public types of a configuration. What each value means, its unit and its default are said once, in the schema of
 * src/config/schema.ts, and shown by `--help`.
 *
 * They repeat the schema by hand: of `z.output<typeof schema>` the documentation shows no key, and `deno doc --lint` rejects it,
 * since it refers to private types. tests/config/types_test.ts has the compiler prove that both are the same.
 *
 * @module
 */

import type { FLASHTransformerOptions } from "../model/options.ts";
import type { CodecName } from "../dist/mod.ts";

/** The part of a configuration that decides the result, the same for every member of a run. */
export type RunConfig = {
  /** Options of the transformer. */
  model: Required<Omit<FLASHTransformerOptions, "divideByMaskedLength">>;
  /** The text and how it is cut. `source` is only a hint where another machine may find the text. */
  data: {
    source: string;
    raw: boolean;
    seqLen: number;
    validation: number;
    documents: boolean;
    lengths: number[];
  };
  /** Length of the run, batches, seed. */
  train: {
    steps: number;
    batch: number;
    microBatch: number;
    maxSkips: number;
    seed: number;
    threads: number;
  };
  /** AdamW, clipping and the learning rate's schedule. */
  optimizer: {
    learningRate: number;
    beta1: number;
    beta2: number;
    epsilon: number;
    weightDecay: number;
    clipNorm: number;
    schedule: { kind: "constant" | "linear" | "cosine"; warmup: number; steps?: number; floor: number };
  };
  /** When and on how much is evaluated, and the texts that are continued. */
  eval: { every: number; windows: number; samples?: string[] };
  /** When checkpoints are written, and how many are kept. */
  checkpoint: { every: number; keepLast: number };
  /** How members talk. */
  dist: {
    mode: "allreduce" | "average";
    localSteps: number;
    warmupSteps: number;
    outerRate: number;
    outerMomentum: number;
    codec: CodecName;
    partBytes: number;
    windowBytes: number;
    heartbeatSeconds: number;
    patienceSeconds: number;
    silenceSeconds: number;
    hashEvery: number;
    /** Workers whose results differ in the last bits are admitted, and the optimizer runs in plain JavaScript. */
    mixed: boolean;
  };
};

/** A whole configuration, checked and complete. */
export type Config = RunConfig & {
  /** Identity of the run, made with its folder; undefined until then. */
  id?: string;
  /** What is written into the run's folder besides what every run writes; no part of what decides the result. */
  log: { tensorboard: boolean };
  /** What is about one machine: processes, paths, devices. */
  machine: {
    workers: number;
    reducers: number;
    minWorkers: number;
    out: string;
    run: string;
    name: string;
    backend: "tensorflow" | "cpu";
    device?: "gpu" | "cpu";
    sharedMemory: boolean;
  };
};

/** What a person writes: every section and every key may be left out. */
export type ConfigInput =
  & { [Section in Exclude<keyof Config, "optimizer" | "id">]?: Partial<Config[Section]> }
  & {
    /** As in {@linkcode Config}. */
    optimizer?: Partial<Omit<Config["optimizer"], "schedule">> & {
      schedule?: Partial<Config["optimizer"]["schedule"]>;
    };
  };
