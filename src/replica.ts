/**
 * A replica: FLASHTransformer on TensorFlow, its optimizer and its data, as the distribution wants to see them. Here model,
 * data and distribution meet.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { createHash } from "node:crypto";
import { type CheckpointContext, loadCheckpoint, type ReplicaState, saveCheckpoint } from "./checkpoint.ts";
import type { RunConfig } from "./config.ts";
import type { Corpus } from "./data/corpus.ts";
import type { MicroBatch, MicroBatches } from "./data/microbatch.ts";
import type { GradientSum, LossSum, Replica, ReplicaIdentity, StepOutcome } from "./dist/replica.ts";
import type { Layout } from "./layout.ts";
import { dropoutSeed } from "./model/dropout.ts";
import { resolveTransformer } from "./model/options.ts";
import { applyStep, type OptimizerOptions, type OptimizerState, stepScalars } from "./model/optimizer.ts";
import { initialParameters } from "./model/parameters.ts";
import { learningRate } from "./model/schedule.ts";
import { buffersOf, frequenciesIn } from "./model/state_dict.ts";
import { type Batch, evalStep, gradStep, type TransformerModel, transformerModel } from "./model/training.ts";
import { microBatchesOf } from "./plan.ts";
import { type BackendInfo, tf } from "./tensorflow/mod.ts";
import { VERSION } from "./version.ts";

/** Where a replica's checkpoints go, on the machine that keeps them. */
export interface CheckpointPlace {
  folder: string;
  keepLast: number;
  /** Validation loss by step, as far as it is known there: the best checkpoint is kept too. */
  losses?: () => Promise<ReadonlyMap<number, number>>;
}

/** One copy of the model with its optimizer and its data. */
export class FlashReplica implements Replica {
  readonly identity: ReplicaIdentity;
  #model: TransformerModel;
  readonly #data: MicroBatches;
  readonly #optimizer: OptimizerOptions;
  #state: OptimizerState;
  #step = 0;
  #updates = 0;
  #tokens = 0;

  /**
   * A replica at step 0, with parameters from the configuration's seed.
   *
   * @param config the run part
   * @param backend what computes
   * @param place where checkpoints go
   */
  constructor(
    private readonly config: RunConfig,
    corpus: Corpus,
    backend: BackendInfo,
    private readonly place: CheckpointPlace,
  ) {
    this.#model = transformerModel(resolveTransformer(config.model));
    this.#data = microBatchesOf(config, corpus);
    this.#optimizer = optimizerOptions(config);
    const { definition } = this.#model;
    this.identity = {
      layout: definition.layout.entries.map(({ name, shape }) => [name, shape] as const),
      layoutFingerprint: definition.layout.fingerprint,
      numericsFingerprint: numericsFingerprint(backend),
      corpus: { bytes: corpus.bytes, sha256: corpus.sha256 },
    };
    const zeros = () => tf.zeros([definition.layout.size]) as tf.Tensor1D;
    const params = tf.tensor1d(initialParameters(definition, config.train.seed));
    this.#state = { params, m: zeros(), v: zeros() };
  }

  /** Where each parameter lies. */
  get layout(): Layout {
    return this.#model.definition.layout;
  }

  get size(): number {
    return this.layout.size;
  }

  get step(): number {
    return this.#step;
  }

  async gradient(step: number, microBatch: number): Promise<GradientSum & { crc: number }> {
    const batch = this.#data.train(step, microBatch);
    const inputs = tensorsOf(batch);
    const seed = this.#dropoutSeed(step, microBatch);
    const sums = gradStep(this.#model, this.#state.params, inputs, seed);
    tf.dispose([{ ...inputs }, seed]);
    const [[lossSum], [tokens], gradient] = await Promise.all([
      sums.lossSum.data<"float32">(),
      sums.tokens.data<"int32">(),
      sums.gradient.data<"float32">(),
    ]);
    tf.dispose({ ...sums });
    return { lossSum, tokens, gradient, crc: crcOf(batch) };
  }

  async evaluate(microBatch: number): Promise<LossSum> {
    const inputs = tensorsOf(this.#data.validation(microBatch));
    const sums = evalStep(this.#model, this.#state.params, inputs);
    tf.dispose({ ...inputs });
    const [[lossSum], [tokens]] = await Promise.all([
      sums.lossSum.data<"float32">(),
      sums.tokens.data<"int32">(),
    ]);
    tf.dispose({ ...sums });
    return { lossSum, tokens };
  }

  apply(mean: Float32Array, { step, apply, norm, tokens }: StepOutcome): Promise<void> {
    this.#step = step;
    this.#tokens += tokens;
    if (apply) {
      this.#updates++;
      const lr = learningRate(this.config.optimizer, step);
      const scalars = stepScalars(this.#optimizer, { norm, lr, updates: this.#updates });
      const inputs = [tf.tensor1d(mean), tf.tensor1d(scalars)] as const;
      const next = applyStep(this.#state, ...inputs, this.#optimizer, this.#model.definition);
      tf.dispose([...inputs]);
      this.dispose();
      this.#state = next;
    }
    return Promise.resolve();
  }

  async hashes(): Promise<{ state: string; params: string }> {
    const { vectors, updates } = await this.state();
    const hash = (vector: Float32Array) => createHash("sha256").update(vector).digest("hex");
    const names = Object.keys(vectors).sort();
    const all = names.map((name) => `${name} ${hash(vectors[name])}\n`).join("") + `updates ${updates}\n`;
    return { state: createHash("sha256").update(all).digest("hex"), params: hash(vectors.params) };
  }

  /** All that this replica has, copied out of TensorFlow. */
  async state(): Promise<ReplicaState> {
    const { params, m, v } = this.#state;
    const [one, two, three] = await Promise.all([params, m, v].map((vector) => vector.data<"float32">()));
    return {
      step: this.#step,
      updates: this.#updates,
      tokens: this.#tokens,
      vectors: { params: one, m: two, v: three },
    };
  }

  /**
   * Goes on from the checkpoint of a step.
   *
   * @throws {SyntaxError} where it is damaged or of another model
   */
  async load(step: number): Promise<void> {
    const { state, buffers } = await loadCheckpoint(this.place.folder, step, this.layout);
    const { options, definition } = this.#model;
    this.#model = transformerModel(options, frequenciesIn(definition, buffers)); // imported weights bring their own
    this.#restore(state);
  }

  #restore({ step, updates, tokens, vectors }: ReplicaState): void {
    this.dispose();
    const { params, m, v } = vectors;
    this.#state = { params: tf.tensor1d(params), m: tf.tensor1d(m), v: tf.tensor1d(v) };
    this.#step = step;
    this.#updates = updates;
    this.#tokens = tokens;
  }

  async save(): Promise<string> {
    const { definition, frequencies } = this.#model;
    const context: CheckpointContext = {
      layout: this.layout,
      buffers: buffersOf(definition, frequencies),
      config: this.config,
    };
    const { folder, keepLast, losses } = this.place;
    return await saveCheckpoint(folder, await this.state(), context, keepLast, await losses?.());
  }

  /** Frees the state's tensors. */
  dispose(): void {
    tf.dispose({ ...this.#state });
  }

  /** The same dropout whoever computes the micro-batch, another one every step; undefined where nothing is dropped. */
  #dropoutSeed(step: number, microBatch: number): tf.Tensor1D | undefined {
    if (this.#model.options.attnDropout === 0) return;
    return tf.tensor1d(dropoutSeed(this.config.train.seed, `dropout ${step} ${microBatch}`), "int32");
  }
}

function optimizerOptions({ optimizer }: RunConfig): OptimizerOptions {
  const { beta1, beta2, epsilon, weightDecay, clipNorm } = optimizer;
  return { betas: [beta1, beta2], epsilon, weightDecay, clipNorm };
}

/** Everything that decides the bits besides configuration and corpus. */
function numericsFingerprint({ version, device, instructionSet, threads, xlaFlags }: BackendInfo): string {
  const flags = xlaFlags === "" ? [] : [xlaFlags];
  return [`flashmob ${VERSION}`, version, device, instructionSet, `threads ${threads}`, "eager", ...flags]
    .join(", ");
}

function tensorsOf({ ids, labels, mask, shape }: MicroBatch): Batch {
  return {
    ids: tf.tensor2d(ids, shape, "int32"),
    labels: tf.tensor2d(labels, shape, "int32"),
    mask: mask && tf.tensor2d(mask, shape, "bool"),
  };
}

/** CRC-32 of the ids as they were fed to the model. */
function crcOf({ ids }: MicroBatch): number {
  return crc32(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
}
