/**
 * The interface of a model to the distributed runtime: flat float32 vectors, gradients that it may keep where it computes, sums, counts
 * and fingerprints.
 * `src/run/replica/flash_replica.ts` implements it with FLASH on TensorFlow, the tests of this folder with a few lines of arithmetic.
 *
 * @module
 */

import type { GradientSum, GradientVector } from "../vectors/gradient.ts";
import type { LossSum } from "../vectors/sums.ts";

/** What all replicas agree on at the end of a step; with the mean gradient it is all that `apply` needs. */
export interface StepOutcome {
  /** The step that ends, from 1 on: a replica at step s computes step s + 1. */
  step: number;
  /** False when the step is skipped: a gradient was not finite, or no token counted. */
  apply: boolean;
  /** Euclidean norm of the mean gradient, float64, before clipping. */
  norm: number;
  /** Tokens that the step counted. */
  tokens: number;
  /**
   * Number of local steps where a round ends; `step` is the last of them. The vector then is not a gradient but the mean
   * pseudo-gradient of the members.
   */
  localSteps?: number;
}

/** Identity of a replica: two members can train together only when these agree. */
export interface ReplicaIdentity {
  /** `[name, shape]` of every parameter, in Layout order. */
  layout: (readonly [name: string, shape: readonly number[]])[];
  /** SHA-256 of the layout. */
  layoutFingerprint: string;
  /** Everything that decides the bits, as text: versions, device kind, instruction set, threads, execution path. */
  numericsFingerprint: string;
  /** Length in bytes and SHA-256 of the text trained on. */
  corpus: { bytes: number; sha256: string };
}

/** The state of a replica: what state transfer sends, what is hashed, and what a checkpoint holds. */
export interface ReplicaState {
  /** The last step that was ended. */
  step: number;
  /** Number of steps that were applied; skipped ones don't count. */
  updates: number;
  /** Counted tokens of all steps so far. */
  tokens: number;
  /** Flat vectors: `params` and the optimizer's moments in Layout order, and any other state that the computation depends on. */
  vectors: { params: Float32Array } & Record<string, Float32Array>;
  /**
   * With parameter averaging, the moments of this member's own optimizer and how many updates they have seen. They are saved and
   * transferred with the state, but neither compared nor hashed.
   */
  own?: { updates: number; vectors: Record<string, Float32Array> };
}

/** SHA-256 of a replica's state, in hexadecimal. */
export interface StateHashes {
  /** Of all vectors. */
  state: string;
  /** Of the parameters. */
  params: string;
}

/** Result of writing a checkpoint: where it is, or why it could not be written. */
export type SaveResult = { place: string } | { error: string };

/** One copy of the model with its optimizer and its data, at some step. */
export interface Replica {
  /** What must agree among members. */
  readonly identity: ReplicaIdentity;
  /** What computes: "cpu", or the name of its GPU. For people. */
  readonly device: string;
  /** Number of parameters: the length of every gradient. */
  readonly size: number;
  /** The last step that this replica has ended. */
  readonly step: number;
  /** Names of the optimizer's state vectors. */
  readonly moments: readonly string[];
  /**
   * Gradient sum of micro-batch `microBatch` (0-based, of the global batch) of step `step`, at the present parameters;
   * `crc` is the CRC-32 of the ids that were fed to the model. The vector is the caller's until the step ends or another state
   * is restored: then the replica frees those that were not released.
   */
  gradient(step: number, microBatch: number): Promise<GradientSum & { crc: number }>;
  /** Loss of micro-batch `microBatch` of the validation part, at the present parameters. */
  evaluate(microBatch: number): Promise<LossSum>;
  /**
   * Continues each prompt of the run, in order, with the present parameters, of which a copy is made before this returns: the
   * replica may continue meanwhile. Equal replicas give equal texts. Called only where the plan has prompts; `dispose` has to wait.
   *
   * @param beforeEach awaited before each token; throws to stop
   */
  sample(beforeEach: () => Promise<void> | void): Promise<string[]>;
  /**
   * Ends a step: clips by the norm and updates the parameters with the mean gradient, or only advances the step.
   *
   * @param mean not used where the step is skipped. One of the replica's own gradients, which are not used after this call, or a
   *   vector in memory that is overwritten afterwards
   * @throws what the mean's `assertWhole` throws, asked once its values are copied: then the replica is as before the call
   */
  apply(mean: GradientVector, outcome: StepOutcome): Promise<void>;
  /** A copy of this replica's state, which does not change while the replica continues. */
  state(): Promise<ReplicaState>;
  /** Restores a state of another replica. Resolves when the replica is warmed up: no later step takes longer than the others. */
  restore(state: ReplicaState): Promise<void> | void;
  /** SHA-256 over all state vectors, and over the parameters alone, in hexadecimal. */
  hashes(): Promise<StateHashes>;
  /**
   * Writes a checkpoint of an earlier state of this replica, while it continues, and returns its place. Called only on the member
   * that writes for the run.
   */
  save(state: ReplicaState): Promise<string>;
  /** Writes the member's own part of the state beside the checkpoint that another member writes, and returns its place. */
  saveOwn(state: ReplicaState): Promise<string>;
  /** Frees its resources. */
  dispose(): void;
}

/** The checkpoints in the run's folder. */
export interface CheckpointStore {
  /** Writes the checkpoint of a state atomically, and returns its place. */
  save(state: ReplicaState): Promise<string>;
  /** The state in the checkpoint of a step. */
  load(step: number): Promise<ReplicaState>;
}
