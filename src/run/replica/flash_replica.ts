/**
 * A replica: FLASHTransformer on TensorFlow with its optimizer and its data, behind the interface that the distribution knows. Here
 * model, data and distribution meet.
 *
 * @module
 */

import type { RunConfig } from "../../config/config.ts";
import type { Corpus } from "../../data/corpus.ts";
import type { MicroBatches } from "../../data/microbatch.ts";
import type { Layout } from "../../layout.ts";
import { dropoutSeed } from "../../model/dropout.ts";
import { resolveTransformer } from "../../model/options.ts";
import {
  type OptimizerOptions,
  type OptimizerState,
  stateLength,
  stepScalars,
} from "../../model/optimizer/optimizer.ts";
import { initialParameters } from "../../model/parameters.ts";
import type { Frequencies } from "../../model/frequencies.ts";
import { learningRate } from "../../model/optimizer/schedule.ts";
import { frequenciesOfVectors, vectorsOfFrequencies } from "../../model/state_dict.ts";
import { compileSteps, type Steps } from "../../model/steps.ts";
import { type TransformerModel, transformerModel, unflatten } from "../../model/training.ts";
import { crcOf, emptyBatch, tensorsOf } from "./batches.ts";
import { MOMENTS, type RunCheckpoints } from "../folder/checkpoints.ts";
import { promptsOf } from "./prompts.ts";
import { LentGradient, meanTensor } from "./lent_gradient.ts";
import { microBatchesOf } from "./run_plan.ts";
import { continueTexts } from "./samples.ts";
import { type BackendInfo, compileOnce, filledVector, LentVector, tf } from "../../tensorflow/mod.ts";
import { VERSION } from "../../version.ts";
import {
  type GradientSum,
  type GradientVector,
  hashesOf,
  type LossSum,
  type Replica,
  type ReplicaIdentity,
  type ReplicaState,
  type StepOutcome,
} from "../../dist/mod.ts";

/** How a replica is prepared. */
export interface PrepareOptions {
  /** Receives status lines. */
  onStatus?: (text: string) => void;
  /** Ends the waiting for another process. */
  signal?: AbortSignal;
}

/** One copy of the model with its optimizer and its data. */
export class FlashReplica implements Replica {
  #model: TransformerModel;
  #steps: Steps;
  readonly #data: MicroBatches;
  readonly #optimizer: OptimizerOptions;
  #state: OptimizerState;
  /** Gradients of the open step. */
  #lent: LentGradient[] = [];
  #step = 0;
  #updates = 0;
  #tokens = 0;

  /**
   * A replica at step 0, with parameters from the configuration's seed.
   *
   * @param config the run part
   * @param backend what computes
   * @param checkpoints where they go
   * @param member name of the worker, for moments of its own in DiLoCo; a single process has none
   */
  constructor(
    private readonly config: RunConfig,
    private readonly corpus: Corpus,
    private readonly backend: BackendInfo,
    private readonly checkpoints: RunCheckpoints,
    private readonly member?: string,
  ) {
    this.#model = transformerModel(resolveTransformer(config.model));
    this.#data = microBatchesOf(config, corpus, checkpoints.owner.origin);
    this.#optimizer = optimizerOptions(config);
    const { definition } = this.#model;
    this.#steps = compileSteps(this.#model, this.#optimizer, config.dist.mixed);
    const zeros = () => this.#upload(new Float32Array());
    const params = this.#upload(initialParameters(definition, config.train.seed));
    this.#state = { params, m: zeros(), v: zeros() };
  }

  get identity(): ReplicaIdentity {
    const { bytes, sha256 } = this.corpus;
    return {
      layout: this.layout.entries.map(({ name, shape }) => [name, shape] as const),
      layoutFingerprint: this.layout.fingerprint,
      numericsFingerprint: numericsFingerprint(this.backend, this.#steps.path),
      corpus: { bytes, sha256 },
    };
  }

  get device(): string {
    const { device, deviceName } = this.backend;
    return device === "cpu" ? "cpu" : deviceName;
  }

  /** Where each parameter lies. */
  get layout(): Layout {
    return this.#model.definition.layout;
  }

  get moments(): readonly string[] {
    return MOMENTS;
  }

  get size(): number {
    return this.layout.size;
  }

  get step(): number {
    return this.#step;
  }

  /**
   * Compiles the functions of a step for all shapes that the run will have, so that no step takes longer than the others. Before
   * it the identity is not complete.
   *
   * @param options where status lines go, and what ends the waiting for another process
   */
  async prepare({ onStatus = () => {}, signal }: PrepareOptions = {}): Promise<void> {
    const onWait = () => onStatus("waits for another process on this machine that compiles a step");
    await compileOnce(() => this.#compile(onStatus), { signal, onWait });
    const { path, reason } = this.#steps;
    if (reason !== undefined) onStatus(`runs the step ${path}: ${reason}`);
  }

  async #compile(onStatus: (text: string) => void): Promise<void> {
    for (const shape of this.#data.shapes) {
      onStatus(`compiles the step for ${shape[0]} × ${shape[1]} tokens`);
      const inputs = tensorsOf(emptyBatch(shape, this.config.data.documents));
      const seed = this.#dropoutSeed(0, 0);
      tf.dispose({ ...await this.#steps.gradient(this.#state.params, inputs, seed) });
      tf.dispose([{ ...inputs }, seed]);
    }
    const last = this.#data.perEvaluation - 1; // may have fewer sequences
    const [one, other] = [0, last].map((index) => this.#data.validation(index).shape.join());
    await this.evaluate(0);
    if (other !== one) await this.evaluate(last);
    const inputs = [
      this.#upload(new Float32Array()),
      tf.tensor1d(stepScalars({}, { norm: 1, lr: 0, updates: 1 })),
    ];
    const { params, m, v } = this.#state;
    const copy = { params: params.clone(), m: m.clone(), v: v.clone() };
    tf.dispose({ ...await this.#steps.apply(copy, inputs[0], inputs[1]) });
    tf.dispose(inputs);
  }

  async gradient(step: number, microBatch: number): Promise<GradientSum & { crc: number }> {
    const batch = this.#data.train(step, microBatch);
    const inputs = tensorsOf(batch);
    const seed = this.#dropoutSeed(step, microBatch);
    const running = this.#steps.gradient(this.#state.params, inputs, seed);
    tf.dispose([{ ...inputs }, seed]);
    const sums = await running;
    const [[lossSum], [tokens], lent] = await Promise.all([
      sums.lossSum.data<"float32">(),
      sums.tokens.data<"int32">(),
      LentVector.of(sums.gradient),
    ]);
    tf.dispose([sums.lossSum, sums.tokens]);
    const gradient = new LentGradient(lent, this.size);
    this.#lent.push(gradient);
    return { lossSum, tokens, gradient, crc: crcOf(batch) };
  }

  async evaluate(microBatch: number): Promise<LossSum> {
    const inputs = tensorsOf(this.#data.validation(microBatch));
    const running = this.#steps.evaluate(this.#state.params, inputs);
    tf.dispose({ ...inputs });
    const sums = await running;
    const [[lossSum], [tokens]] = await Promise.all([
      sums.lossSum.data<"float32">(),
      sums.tokens.data<"int32">(),
    ]);
    tf.dispose({ ...sums });
    return { lossSum, tokens };
  }

  async sample(beforeEach: () => Promise<void> | void): Promise<string[]> {
    const { options, frequencies } = this.#model;
    const tensors = unflatten(this.layout, this.#state.params);
    const parameters = Object.fromEntries(this.layout.entries.map(({ name }, i) => [name, tensors[i]]));
    const { config, corpus } = this;
    const { train: { seed } } = config;
    try {
      const from = { seed, step: this.#step, beforeEach };
      return await continueTexts({ options, frequencies, parameters }, promptsOf(config, corpus), from);
    } finally {
      tf.dispose(tensors);
    }
  }

  async apply(mean: GradientVector, { step, apply, norm, tokens }: StepOutcome): Promise<void> {
    if (apply) {
      const lr = learningRate(this.config.optimizer, step);
      const updates = this.#updates + 1;
      const vector = await meanTensor(mean, stateLength(this.size));
      const inputs = [vector, tf.tensor1d(stepScalars(this.#optimizer, { norm, lr, updates }))];
      const running = this.#steps.apply(this.#state, inputs[0], inputs[1]);
      tf.dispose(inputs);
      this.#state = await running;
      this.#updates = updates;
    }
    this.#release();
    this.#step = step;
    this.#tokens += tokens;
  }

  async hashes(): Promise<{ state: string; params: string }> {
    return hashesOf(await this.state());
  }

  /** The whole state of this replica, copied out of TensorFlow. */
  async state(): Promise<ReplicaState> {
    const { params, m, v } = this.#state;
    const read = async (vector: tf.Tensor1D) => (await vector.data<"float32">()).subarray(0, this.size);
    const [one, two, three] = await Promise.all([params, m, v].map(read));
    return {
      step: this.#step,
      updates: this.#updates,
      tokens: this.#tokens,
      vectors: { params: one, m: two, v: three, ...vectorsOfFrequencies(this.#model.frequencies) },
    };
  }

  /** Starts from a state instead of the seed's, before {@linkcode FlashReplica.prepare}. */
  begin(state: ReplicaState): void {
    this.#setFrequencies(frequenciesOfVectors(state.vectors));
    this.#restore(state);
  }

  async restore(state: ReplicaState): Promise<void> {
    const isNew = this.#setFrequencies(frequenciesOfVectors(state.vectors));
    this.#restore(state);
    if (isNew) await this.prepare();
  }

  /** Sets the frequencies of the position encodings: imported weights bring their own. Returns whether they changed. */
  #setFrequencies(frequencies: Frequencies): boolean {
    const text = (some: Frequencies) => JSON.stringify(Object.entries(vectorsOfFrequencies(some)).sort());
    if (text(frequencies) === text(this.#model.frequencies)) return false;
    this.#model = transformerModel(this.#model.options, frequencies);
    this.#steps.dispose();
    this.#steps = compileSteps(this.#model, this.#optimizer, this.config.dist.mixed);
    return true;
  }

  #restore({ step, updates, tokens, vectors, own }: ReplicaState): void {
    const { params, m, v } = { ...vectors, ...own?.vectors };
    this.#release();
    tf.dispose({ ...this.#state });
    this.#state = { params: this.#upload(params), m: this.#upload(m), v: this.#upload(v) };
    this.#step = step;
    this.#updates = own?.updates ?? updates;
    this.#tokens = tokens;
  }

  save(state: ReplicaState): Promise<string> {
    return this.checkpoints.save(state);
  }

  async saveOwn(state: ReplicaState): Promise<string> {
    if (this.member === undefined) throw new TypeError("A single process has no moments of its own to save.");
    return await this.checkpoints.saveMoments(this.member, state);
  }

  /** Frees the state's tensors and the compiled functions. */
  dispose(): void {
    this.#steps.dispose();
    this.#release();
    tf.dispose({ ...this.#state });
  }

  /** Releases the gradients of the open step. */
  #release(): void {
    for (const gradient of this.#lent) gradient.release();
    this.#lent = [];
  }

  /** A vector of the state's length. */
  #upload(values: Float32Array): tf.Tensor1D {
    return filledVector(values, stateLength(this.size));
  }

  /** Seed of the dropout: the same on whichever worker computes the micro-batch, a new one every step. */
  #dropoutSeed(step: number, microBatch: number): tf.Tensor1D {
    return tf.tensor1d(dropoutSeed(this.config.train.seed, `dropout ${step} ${microBatch}`), "int32");
  }
}

function optimizerOptions({ optimizer }: RunConfig): OptimizerOptions {
  const { beta1, beta2, epsilon, weightDecay, clipNorm } = optimizer;
  return { betas: [beta1, beta2], epsilon, weightDecay, clipNorm };
}

/** Everything that decides the bits besides configuration and corpus. */
function numericsFingerprint(
  { version, device, instructionSet, threads, xlaFlags }: BackendInfo,
  path: string,
): string {
  const flags = xlaFlags === "" ? [] : [xlaFlags];
  return [`flashmob ${VERSION}`, version, device, instructionSet, `threads ${threads}`, path, ...flags].join(
    ", ",
  );
}
