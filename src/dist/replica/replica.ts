/**
 * What the distribution knows of a model: flat vectors of float32 numbers, weights and fingerprints.
 * `src/run/replica/flash_replica.ts` implements it with FLASH on TensorFlow, the tests of this folder with a few lines of arithmetic.
 *
 * @module
 */

import type { GradientSum, LossSum } from "../vectors/sums.ts";

/** What all replicas agree on when a step ends; with the mean gradient it is all that `apply` needs. */
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
   * Where a round of local steps ends: how many they were, `step` is the last of them. The vector then is not a gradient but the
   * mean way that the members have come, backwards.
   */
  localSteps?: number;
}

/** Who a replica is: two members may average only when these agree. */
export interface ReplicaIdentity {
  /** `[name, shape]` of every parameter, in Layout order. */
  layout: (readonly [name: string, shape: readonly number[]])[];
  /** SHA-256 of the layout. */
  layoutFingerprint: string;
  /** Everything that decides the bits: versions, device kind, instruction set, threads, execution path. In words. */
  numericsFingerprint: string;
  /** Length in bytes and SHA-256 of the text trained on. */
  corpus: { bytes: number; sha256: string };
}

/** All that a replica has: what a newcomer takes over, what is hashed, and what a checkpoint holds. */
export interface ReplicaState {
  /** The last step that was ended. */
  step: number;
  /** How many steps were applied: skipped ones don't count. */
  updates: number;
  /** Counted tokens of all steps so far. */
  tokens: number;
  /** Flat vectors: `params` and what the optimizer keeps in Layout order, and whatever else decides what it computes. */
  vectors: { params: Float32Array } & Record<string, Float32Array>;
  /**
   * Where parameters are averaged, the moments of this member's own optimizer and how many updates they have seen. They go along
   * with the state, but are neither compared nor hashed.
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

/** How the writing of a checkpoint ended: where it is, or why it is not there. */
export type SaveResult = { place: string } | { error: string };

/** One copy of the model with its optimizer and its data, at some step. */
export interface Replica {
  /** What other members must agree with. */
  readonly identity: ReplicaIdentity;
  /** Number of parameters: the length of every gradient. */
  readonly size: number;
  /** The last step that this replica has ended. */
  readonly step: number;
  /** Names of the state vectors that the optimizer keeps besides the parameters. */
  readonly moments: readonly string[];
  /**
   * Gradient sum of micro-batch `microBatch` (0-based, of the global batch) of step `step`, at the present parameters;
   * `crc` is the CRC-32 of the ids that were fed to the model. The vector is the caller's, who adds others to it, until the
   * step is ended or another state is taken: then its memory may be used again. Who needs it no longer detaches its buffer.
   */
  gradient(step: number, microBatch: number): Promise<GradientSum & { crc: number }>;
  /** Loss of micro-batch `microBatch` of the validation part, at the present parameters. */
  evaluate(microBatch: number): Promise<LossSum>;
  /**
   * Ends a step: clips by the norm and updates the parameters with the mean gradient, or only advances the step.
   * The vector is empty where the step is skipped, and only borrowed: the next step overwrites it. It may be one of the
   * replica's own gradients, which have served after that.
   */
  apply(mean: Float32Array, outcome: StepOutcome): Promise<void>;
  /** A copy of all that this replica has, that stays as it is while the replica goes on. */
  state(): Promise<ReplicaState>;
  /** Goes on from a state of another replica. Resolves when no step will take longer than the others. */
  restore(state: ReplicaState): Promise<void> | void;
  /** SHA-256 over all state vectors, and over the parameters alone, in hexadecimal. */
  hashes(): Promise<StateHashes>;
  /**
   * Writes a checkpoint of a state that this replica had, while it goes on, and says where. Only the member that writes for
   * the run does.
   */
  save(state: ReplicaState): Promise<string>;
  /** Writes the state's own part beside the checkpoint, which another member writes, and says where. */
  saveOwn(state: ReplicaState): Promise<string>;
  /** Frees what it holds. */
  dispose(): void;
}

/** The checkpoints in the run's folder. */
export interface CheckpointStore {
  /** Writes the checkpoint of a state, whole or not at all, and says where. */
  save(state: ReplicaState): Promise<string>;
  /** The state of a step that has a checkpoint. */
  load(step: number): Promise<ReplicaState>;
}
