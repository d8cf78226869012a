/**
 * Checkpoints of a run: `step-00000100/` with `model.safetensors` (parameters under FLASH-pytorch's names, with its
 * buffers), `optimizer.safetensors` (every other state vector, flat) and `state.json` (checksums of both).
 * A checkpoint is written atomically: under a temporary name beside its place, synced to the disk, then renamed.
 *
 * @module
 */

import {
  appear,
  checkpointSteps,
  exists,
  placeOf,
  prune,
  remove,
  STAGING,
  STATE_FILE,
  sync,
} from "./folder.ts";
import {
  checkFiles,
  type CheckpointConfig,
  FORMAT,
  readStateFile,
  readTensors,
  type StateFile,
} from "./files.ts";
import { findCheckpoint, namedCheckpoints, newestCheckpoint } from "./find.ts";
import { errorMessage, RunError } from "../errors.ts";
import { sha256 } from "../hashing.ts";
import type { Layout } from "../layout.ts";
import { mapValues } from "../records.ts";
import { encodeSafetensors, type FlatTensor, writeSafetensors } from "../safetensors.ts";
import { flatTensor } from "./vector_files.ts";
import type { ReplicaState } from "../dist/mod.ts";

export { type CheckpointConfig, checkpointSteps, findCheckpoint, newestCheckpoint };

export type { ReplicaState };

/** What belongs in a checkpoint besides the state. */
export interface CheckpointContext {
  /** Of the parameters. */
  layout: Layout;
  /** Entries of the state dict that are not trained. */
  buffers: Record<string, FlatTensor>;
  /** The run part of the configuration. */
  config: CheckpointConfig;
  /** The text trained on. */
  corpus?: StateFile["corpus"];
  /** Identity of the run: what is another run's is never replaced. */
  run?: string;
  /** Of the state. */
  stateHash?: string;
  /** That the steps so far have consumed. */
  samples?: number;
}

/** A file of a checkpoint before it is written. */
interface File {
  tensors: Record<string, FlatTensor>;
  metadata: Record<string, string>;
}

/**
 * Writes the checkpoint of a state into `folder`, then deletes all but the newest `keepLast` and the best. Values go from
 * the state's arrays to the files without a copy. A checkpoint that is there already with the same content stays.
 *
 * @param losses validation loss by step, as far as it is known: the lowest one tells the best checkpoint
 * @returns the new checkpoint's path
 * @throws {RunError} where it can't be written, with the system's words; the checkpoints before it are untouched then
 */
export async function saveCheckpoint(
  folder: string,
  state: ReplicaState,
  context: CheckpointContext,
  keepLast: number,
  losses: ReadonlyMap<number, number> = new Map(),
): Promise<string> {
  const place = placeOf(folder, state.step);
  const staging = place + STAGING;
  try {
    const files = filesOf(state, context);
    const about = await stateFileOf(state, context, files);
    await refuseToReplace(place, context.run);
    if (!await holds(place, about)) {
      await remove(staging); // left by a process that was killed
      await Deno.mkdir(staging, { recursive: true });
      for (const [name, { tensors, metadata }] of Object.entries(files)) {
        await writeSafetensors(`${staging}/${name}`, tensors, metadata);
      }
      await Deno.writeTextFile(`${staging}/${STATE_FILE}`, JSON.stringify(about, null, 2) + "\n");
      await sync(`${staging}/${STATE_FILE}`);
      await appear(folder, staging, place);
    }
    await prune(folder, state.step, keepLast, losses, await othersIn(folder, context.run));
    return place;
  } catch (error) {
    await remove(staging).catch(() => {}); // a rest that stays does no harm
    throw new RunError(
      `The checkpoint ${place} can't be written: ${errorMessage(error)}. Those before it are untouched.`,
    );
  }
}

function filesOf(
  { step, vectors: { params, ...others }, own }: ReplicaState,
  { layout, buffers, config }: CheckpointContext,
): Record<string, File> {
  const metadata = { step: String(step), source: "flashmob" };
  return {
    "model.safetensors": {
      tensors: { ...unflatten(layout, params), ...buffers },
      metadata: { ...metadata, model: JSON.stringify(config.model) }, // so that the file can stand alone
    },
    "optimizer.safetensors": { tensors: mapValues({ ...others, ...own?.vectors }, flatTensor), metadata },
  };
}

async function stateFileOf(
  { step, updates, tokens, own }: ReplicaState,
  { layout: { fingerprint: layout }, config, corpus, run, stateHash, samples }: CheckpointContext,
  files: Record<string, File>,
): Promise<StateFile> {
  const checksums: StateFile["sha256"] = {};
  for (const [name, { tensors, metadata }] of Object.entries(files)) {
    checksums[name] = await sha256(encodeSafetensors(tensors, metadata));
  }
  const ofWriter = own && { updates: own.updates, vectors: Object.keys(own.vectors) };
  return {
    format: FORMAT,
    step,
    updates,
    tokens,
    run,
    stateHash,
    samples,
    own: ofWriter,
    layout,
    config,
    corpus,
    sha256: checksums,
  };
}

/** Which folders hold checkpoints of another run, or of another step than their name says: a person has put them there. */
async function othersIn(folder: string, run: string | undefined): Promise<Set<number>> {
  const all = await namedCheckpoints(folder);
  const others = all.filter(({ named, about }) =>
    !(about instanceof Error) && (about.step !== named || (run !== undefined && (about.run ?? run) !== run))
  );
  return new Set(others.map(({ named }) => named));
}

/** Throws a RunError where the checkpoint in this place is another run's. A damaged one belongs to no run. */
async function refuseToReplace(place: string, run: string | undefined): Promise<void> {
  const found = await readStateFile(place).catch(() => undefined);
  if (found?.run === undefined || run === undefined || found.run === run) return;
  throw new RunError(
    `a checkpoint of another run is there (its identity is ${found.run}, this run's ${run})`,
  );
}

/** Whether a place has this checkpoint already, undamaged. */
async function holds(place: string, about: StateFile): Promise<boolean> {
  if (!await exists(place)) return false;
  try {
    const found = await readStateFile(place);
    await checkFiles(place, found);
    return JSON.stringify(found) === JSON.stringify(about);
  } catch {
    return false;
  }
}

/** A checkpoint that was read. */
export interface LoadedCheckpoint {
  /** All that a replica has. */
  state: ReplicaState;
  /** Entries of the state dict that are not trained. */
  buffers: Record<string, FlatTensor>;
  /** What it says of itself. */
  about: StateFile;
  /** Its folder. */
  path: string;
}

/**
 * Reads the checkpoint of a step. The state's vectors are views of what was read: it takes one copy of the state.
 *
 * @param layout of the model that is to be trained on
 * @throws {SyntaxError} when it is damaged, or of another model
 * @throws {RunError} when it is of another format
 */
export async function loadCheckpoint(
  folder: string,
  step: number,
  layout: Layout,
): Promise<LoadedCheckpoint> {
  const path = await findCheckpoint(folder, step) ?? placeOf(folder, step);
  const about = await readStateFile(path);
  if (about.layout !== layout.fingerprint) {
    throw new SyntaxError(`Can't use ${path}: it holds a model of other shapes than the configuration's.`);
  }
  const model = await readTensors(path, "model.safetensors", about);
  const { params, buffers } = flatten(layout, model.tensors);
  const optimizer = await readTensors(path, "optimizer.safetensors", about);
  const vectors = mapValues(optimizer.tensors, ({ values }) => values as Float32Array);
  const { updates, tokens } = about;
  const state: ReplicaState = { step, updates, tokens, vectors: { ...vectors, params } };
  if (about.own) {
    const { updates, vectors: names } = about.own;
    state.own = { updates, vectors: Object.fromEntries(names.map((name) => [name, vectors[name]])) };
    for (const name of names) delete state.vectors[name];
  }
  return { state, buffers, about, path };
}

/** Views of a flat vector, one per parameter. */
export function unflatten(layout: Layout, vector: Float32Array): Record<string, FlatTensor> {
  return Object.fromEntries(
    layout.entries.map(({ name, shape, offset, size }) => [
      name,
      { dtype: "F32", shape, values: vector.subarray(offset, offset + size) } as const,
    ]),
  );
}

/** The flat vector of the parameters, and what else is in the file: views of it, in which the parameters lie in order. */
function flatten(layout: Layout, tensors: Record<string, FlatTensor>) {
  const first = tensors[layout.entries[0].name].values;
  const params = new Float32Array(first.buffer as ArrayBuffer, first.byteOffset, layout.size);
  const others = { ...tensors };
  for (const { name, offset } of layout.entries) {
    if (tensors[name].values.byteOffset !== params.byteOffset + 4 * offset) {
      throw new SyntaxError(`The parameter ${name} is not where saveCheckpoint() puts it.`);
    }
    delete others[name];
  }
  return { params, buffers: others };
}
