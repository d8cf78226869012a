/**
 * The checkpoints of a run in a folder of this machine, as states of a replica: with FLASH-pytorch's names of the
 * parameters, and with what identifies the run. Loads nothing of TensorFlow: a coordinator writes them, too.
 *
 * @module
 */

import { findCheckpoint, loadCheckpoint, saveCheckpoint } from "../../checkpoint/checkpoint.ts";
import { readStateFile } from "../../checkpoint/files.ts";
import { loadMoments, saveMoments } from "../../checkpoint/moments.ts";
import type { RunConfig } from "../../config/config.ts";
import { type DataOrigin, samplesAfter } from "../../data/microbatch.ts";
import { RunError } from "../../errors.ts";
import type { Layout } from "../../layout.ts";
import { resolveTransformer } from "../../model/options.ts";
import { defineTransformer } from "../../model/parameters.ts";
import {
  buffersOf,
  frequenciesIn,
  frequenciesOfVectors,
  vectorsOfFrequencies,
} from "../../model/state_dict.ts";
import { type ReplicaIdentity, type ReplicaState, stateHashOf } from "../../dist/mod.ts";

/** State vectors that the optimizer keeps besides the parameters. */
export const MOMENTS: readonly string[] = ["m", "v"];

/** The run that checkpoints belong to. */
export interface CheckpointOwner {
  /** Identity of the run. */
  run: string;
  /** The run part of its configuration. */
  config: RunConfig;
  /** The text trained on. */
  corpus: ReplicaIdentity["corpus"];
  /** Where its data began. */
  origin: DataOrigin;
  /** Validation loss by step, as far as it is known: the best checkpoint is kept, too. */
  losses?: () => ReadonlyMap<number, number>;
}

/** Checkpoints in a folder. */
export class RunCheckpoints {
  readonly #definition;

  /** Makes no folder yet. */
  constructor(readonly folder: string, readonly owner: CheckpointOwner) {
    this.#definition = defineTransformer(resolveTransformer(owner.config.model));
  }

  /** Where each parameter lies. */
  get layout(): Layout {
    return this.#definition.layout;
  }

  /**
   * Writes the checkpoint of a state atomically.
   *
   * @returns its place
   * @throws {RunError} where it can't be written
   */
  async save(state: ReplicaState): Promise<string> {
    const { folder, owner: { run, config, corpus, origin, losses } } = this;
    const frequencies = frequenciesOfVectors(state.vectors);
    const { params, ...others } = state.vectors;
    for (const name of Object.keys(vectorsOfFrequencies(frequencies))) delete others[name]; // they are among the buffers
    const context = {
      layout: this.layout,
      buffers: buffersOf(this.#definition, frequencies),
      config,
      corpus,
      run,
      stateHash: await stateHashOf(state),
      samples: samplesAfter(state.step, config.train.batch, origin),
    };
    const trained = { ...state, vectors: { params, ...others } };
    return await saveCheckpoint(folder, trained, context, config.checkpoint.keepLast, losses?.());
  }

  /**
   * The state of a step; where members have moments of their own, with those of the member that wrote it.
   *
   * @throws {RunError} where there is none
   * @throws {SyntaxError} where it is damaged or of another model
   */
  async load(step: number): Promise<ReplicaState> {
    const { folder } = this;
    if (await findCheckpoint(folder, step) === undefined) {
      throw new RunError(
        `the run is to continue from step ${step}, and ${folder} has no checkpoint of it`,
      );
    }
    const { state, buffers } = await loadCheckpoint(folder, step, this.layout);
    Object.assign(state.vectors, vectorsOfFrequencies(frequenciesIn(this.#definition, buffers)));
    return state;
  }

  /**
   * SHA-256 of the state that all replicas share after a step.
   *
   * @returns undefined where the checkpoint was written in the other `dist.mode`, in which replicas share another state
   */
  async stateHash(step: number): Promise<string | undefined> {
    const { stateHash, config } = await readStateFile(await findCheckpoint(this.folder, step) ?? this.folder);
    if (config.dist?.mode !== this.owner.config.dist.mode) return undefined;
    return stateHash ?? await stateHashOf(await this.load(step));
  }

  /** Writes a member's own moments. Returns their place. */
  async saveMoments(member: string, { step, vectors, updates, tokens, own }: ReplicaState): Promise<string> {
    if (!own) throw new TypeError("This replica has no moments of its own to save.");
    const stateHash = await stateHashOf({ step, vectors, updates, tokens });
    const { keepLast } = this.owner.config.checkpoint;
    return await saveMoments(this.folder, member, step, own, stateHash, keepLast);
  }

  /** A member's own moments that belong to a state; undefined where there are none. */
  async loadMoments(member: string, state: ReplicaState): Promise<ReplicaState["own"]> {
    return await loadMoments(this.folder, member, state.step, await stateHashOf(state));
  }
}
