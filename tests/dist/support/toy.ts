/**
 * A replica in a few lines of arithmetic, and a plan for it: what the tests of this folder train.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { type CoordinationPlan, NO_RECORD } from "../../../src/dist/replica/plan.ts";
import type {
  Replica,
  ReplicaIdentity,
  ReplicaState,
  StepOutcome,
} from "../../../src/dist/replica/replica.ts";
import { layoutOf } from "../../../src/layout.ts";
import { type GradientSum, type GradientVector, HostVector } from "../../../src/dist/vectors/gradient.ts";
import type { LossSum } from "../../../src/dist/vectors/sums.ts";
import { hashesOf } from "../../../src/dist/replica/state_hash.ts";

/** Of the configuration and the text of all toys. */
export const CONFIG_HASH = "c".repeat(64), CORPUS_HASH = "d".repeat(64);

/** What may be different about a toy replica. */
export interface ToyOptions {
  seed?: number;
  size?: number;
  /** Called before each gradient; may throw, or wait. */
  beforeGradient?: (step: number, microBatch: number) => Promise<void> | void;
  /** Called before each token of a sample; may throw, or wait. */
  beforeToken?: (step: number, token: number) => Promise<void> | void;
  beforeApply?: (step: number) => Promise<void> | void;
  /** Changes a micro-batch's gradient sum. */
  alter?: (sum: LossSum & { gradient: Float32Array }, step: number, microBatch: number) => void;
  identity?: Partial<ReplicaIdentity>;
}

/** The identity of toys of one size. */
export function toyIdentity(size: number): ReplicaIdentity {
  const layout: ReplicaIdentity["layout"] = [["weight", [size]]];
  return {
    layout,
    layoutFingerprint: layoutOf(layout).fingerprint,
    numericsFingerprint: "toy, float32, 1 thread",
    corpus: { bytes: 1000, sha256: CORPUS_HASH },
  };
}

/** A replica whose gradients are pseudo-random functions of (parameters, step, micro-batch). */
export class ToyReplica implements Replica {
  readonly identity: ReplicaIdentity;
  readonly device = "cpu";
  readonly size: number;
  readonly moments = ["momentum"];
  step = 0;
  params: Float32Array;
  /** A state vector besides the parameters. */
  momentum: Float32Array;
  updates = 0;
  tokens = 0;
  readonly saves: number[] = [];
  readonly ownSaves: number[] = [];
  /** Every [step, micro-batch] that was computed. */
  readonly computed: (readonly [step: number, microBatch: number])[] = [];
  /** A copy of the last mean. */
  #mean: Float32Array | undefined;

  constructor(readonly options: ToyOptions = {}) {
    this.size = options.size ?? 1000;
    this.identity = { ...toyIdentity(this.size), ...options.identity };
    this.params = noise(this.size, options.seed ?? 1);
    this.momentum = new Float32Array(this.size);
  }

  async gradient(step: number, microBatch: number): Promise<GradientSum & { crc: number }> {
    await this.options.beforeGradient?.(step, microBatch);
    this.computed.push([step, microBatch]);
    const gradient = noise(this.size, step * 1009 + microBatch);
    for (let i = 0; i < this.size; i++) gradient[i] += 0.1 * this.params[i];
    const sum = {
      lossSum: gradient[0] * gradient[1] + 1,
      tokens: 5 + (microBatch * 7 + step) % 11,
      gradient,
    };
    this.options.alter?.(sum, step, microBatch);
    return { ...sum, gradient: new HostVector(sum.gradient), crc: crc32(`${step}/${microBatch}`) };
  }

  evaluate(microBatch: number): Promise<LossSum> {
    const at = microBatch % this.size;
    return Promise.resolve({
      lossSum: Math.abs(this.params[at]) * (microBatch + 0.1),
      tokens: microBatch + 1,
    });
  }

  /** Two texts of three tokens, whatever the prompts; `beforeToken` may wait. */
  async sample(beforeEach: () => Promise<void> | void): Promise<string[]> {
    const { step, params: [first] } = this;
    for (let token = 0; token < 6; token++) {
      await this.options.beforeToken?.(step, token);
      await beforeEach();
    }
    return [`${step} ${first}`, `\u001b${first}`];
  }

  async apply(mean: GradientVector, { step, apply, norm, tokens }: StepOutcome): Promise<void> {
    await this.options.beforeApply?.(step);
    if (apply) {
      const { values } = await mean.toHost(this.#mean ??= new Float32Array(this.size));
      this.update(values, norm);
      this.updates++;
    }
    this.tokens += tokens;
    this.step = step;
  }

  /** Moves the parameters. */
  update(mean: Float32Array, norm: number): void {
    const rate = 0.1 / Math.max(1, norm);
    for (let i = 0; i < this.size; i++) {
      this.momentum[i] = 0.5 * this.momentum[i] + mean[i];
      this.params[i] -= rate * this.momentum[i];
    }
  }

  state(): Promise<ReplicaState> {
    const { step, updates, tokens } = this;
    return Promise.resolve({
      step,
      updates,
      tokens,
      vectors: { params: this.params.slice(), momentum: this.momentum.slice() },
    });
  }

  restore({ step, updates, tokens, vectors }: ReplicaState): void {
    Object.assign(this, { step, updates, tokens, params: vectors.params, momentum: vectors.momentum });
  }

  async hashes(): Promise<{ state: string; params: string }> {
    return hashesOf(await this.state());
  }

  dispose(): void {}

  saveOwn({ step }: ReplicaState): Promise<string> {
    this.ownSaves.push(step);
    return Promise.resolve(`moments ${step}`);
  }

  save({ step }: ReplicaState): Promise<string> {
    this.saves.push(step);
    return Promise.resolve(`checkpoint ${step}`);
  }
}

/** Numbers between −1 and 1 from a linear congruential generator: the same everywhere, and quick (`Float32Array.from` takes 20 times as long). */
export function noise(size: number, seed: number): Float32Array {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = state / 0x80000000 - 1;
  }
  return values;
}

/** With these nothing is sent twice and no member is lost, however busy the machine is: bytes can be counted. */
export const UNHURRIED = { heartbeatSeconds: 5, patienceSeconds: 60, silenceSeconds: 60 };

/** Identity of runs of toys. */
export const RUN_ID = "00000000-0000-4000-8000-000000000000";

/** A plan of 4 steps of 8 micro-batches, with short deadlines. */
export function toyPlan(changes: Partial<CoordinationPlan> = {}): CoordinationPlan {
  return {
    codec: "float32",
    partBytes: 512 * 1024,
    windowBytes: 1024 * 1024, // so that a message refers to one part: members can be lost between two
    patienceSeconds: 10,
    run: "toy",
    id: RUN_ID,
    origin: { step: 0, samples: 0 },
    config: { name: "toy" },
    configHash: CONFIG_HASH,
    steps: 4,
    startStep: 0,
    record: NO_RECORD,
    microBatches: 8,
    evaluation: { every: 2, microBatches: 5 },
    maxSkips: 10,
    hashEvery: 0,
    mixed: false,
    saveEvery: 0,
    startWorkers: 1,
    minWorkers: 1,
    heartbeatSeconds: 0.1,
    silenceSeconds: 10,
    ...changes,
  };
}
