/**
 * Checkpoints of a run: `step-00000100/` with `model.safetensors` (parameters under FLASH-pytorch's names, with its
 * buffers), `optimizer.safetensors` (every other state vector, flat) and `state.json` (what vouches for both).
 * A checkpoint is complete or not there: it is written beside its place, synced to the disk, and renamed.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { ReplicaState } from "./dist/replica.ts";
import type { Layout } from "./layout.ts";
import { encodeSafetensors, type FlatTensor, parseSafetensors, writeSafetensors } from "./safetensors.ts";

export type { ReplicaState };

/** The version of this format; another one is refused. */
const FORMAT = 1;

/** What `state.json` holds. */
interface StateFile {
  format: number;
  step: number;
  updates: number;
  tokens: number;
  /** Fingerprint of the layout. */
  layout: string;
  /** The run part of the configuration. */
  config: unknown;
  /** SHA-256 of the other two files. */
  sha256: Record<string, string>;
}

/** What belongs in a checkpoint besides the state. */
export interface CheckpointContext {
  layout: Layout;
  /** Entries of the state dict that are not trained. */
  buffers: Record<string, FlatTensor>;
  /** The run part of the configuration. */
  config: unknown;
}

/**
 * Writes the checkpoint of a state into `folder`, then deletes all but the newest `keepLast`.
 *
 * @returns the new checkpoint's path
 */
export async function saveCheckpoint(
  folder: string,
  state: ReplicaState,
  { layout, buffers, config }: CheckpointContext,
  keepLast: number,
): Promise<string> {
  const place = `${folder}/${nameOf(state.step)}`;
  const staging = `${place}.tmp`;
  await remove(staging); // left by a process that was killed
  await Deno.mkdir(staging, { recursive: true });

  const { params, ...others } = state.vectors;
  const files: Record<string, Record<string, FlatTensor>> = {
    "model.safetensors": { ...unflatten(layout, params), ...buffers },
    "optimizer.safetensors": mapValues(
      others,
      (values) => ({ dtype: "F32", shape: [values.length], values }),
    ),
  };
  const sha256: Record<string, string> = {};
  for (const [name, tensors] of Object.entries(files)) {
    const metadata = { step: String(state.step), source: "flashmob" };
    await writeSafetensors(`${staging}/${name}`, tensors, metadata);
    sha256[name] = hashOf(encodeSafetensors(tensors, metadata));
  }
  const { step, updates, tokens } = state;
  const about: StateFile = {
    format: FORMAT,
    step,
    updates,
    tokens,
    layout: layout.fingerprint,
    config,
    sha256,
  };
  await Deno.writeTextFile(`${staging}/state.json`, JSON.stringify(about, null, 2) + "\n");
  await sync(`${staging}/state.json`);
  await sync(staging);
  await remove(place); // of the same step, from before a resume
  await Deno.rename(staging, place);
  await sync(folder);
  await prune(folder, keepLast);
  return place;
}

/** A checkpoint that was read. */
export interface LoadedCheckpoint {
  state: ReplicaState;
  /** The run part of the configuration that it was written with. */
  config: unknown;
  path: string;
}

/** The steps of the checkpoints in a folder, newest first. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const steps: number[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const step = name.match(/^step-(\d+)$/)?.[1];
      if (isDirectory && step !== undefined) steps.push(Number(step));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return steps.sort((a, b) => b - a);
}

/**
 * The step of the newest checkpoint in a folder that is whole.
 *
 * @param onDamaged told of each one that was passed over, and why
 * @returns undefined when there is none
 */
export async function newestCheckpoint(
  folder: string,
  onDamaged: (text: string) => void,
): Promise<number | undefined> {
  for (const step of await checkpointSteps(folder)) {
    try {
      await readWhole(`${folder}/${nameOf(step)}`);
      return step;
    } catch (error) {
      onDamaged(`passed over a damaged checkpoint: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/**
 * Reads the checkpoint of a step.
 *
 * @param layout of the model that is to go on
 * @throws {SyntaxError} when it is damaged, of another format, or of another model
 */
export async function loadCheckpoint(
  folder: string,
  step: number,
  layout: Layout,
): Promise<LoadedCheckpoint> {
  const path = `${folder}/${nameOf(step)}`;
  const { about, model, optimizer } = await readWhole(path);
  if (about.layout !== layout.fingerprint) {
    throw new SyntaxError(`Can't use ${path}: it holds a model of other shapes than the configuration's.`);
  }
  const params = flatten(layout, model);
  const others = mapValues(optimizer, ({ values }) => values as Float32Array);
  const { updates, tokens, config } = about;
  return { state: { step, updates, tokens, vectors: { ...others, params } }, config, path };
}

/** What a checkpoint holds, with its checksums found right. */
async function readWhole(path: string) {
  const about = JSON.parse(await Deno.readTextFile(`${path}/state.json`)) as StateFile;
  if (about.format !== FORMAT) {
    throw new SyntaxError(`Can't read ${path}: it has format ${about.format}, this version reads ${FORMAT}.`);
  }
  const read = async (name: string) => {
    const bytes = await Deno.readFile(`${path}/${name}`);
    if (hashOf([bytes]) !== about.sha256[name]) {
      throw new SyntaxError(
        `Can't use ${path}: ${name} is damaged, its SHA-256 is not the one in state.json.`,
      );
    }
    return parseSafetensors(bytes, `${path}/${name}`).tensors;
  };
  return { about, model: await read("model.safetensors"), optimizer: await read("optimizer.safetensors") };
}

/** Views of a flat vector, one per parameter. */
function unflatten(layout: Layout, vector: Float32Array): Record<string, FlatTensor> {
  return Object.fromEntries(
    layout.entries.map(({ name, shape, offset, size }) => [
      name,
      { dtype: "F32", shape, values: vector.subarray(offset, offset + size) } as const,
    ]),
  );
}

/** The flat vector of the parameters in a file. */
function flatten(layout: Layout, tensors: Record<string, FlatTensor>): Float32Array {
  const vector = new Float32Array(layout.size);
  for (const { name, offset } of layout.entries) vector.set(tensors[name].values as Float32Array, offset);
  return vector;
}

function mapValues<A, B>(record: Record<string, A>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function hashOf(pieces: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

const nameOf = (step: number) => `step-${String(step).padStart(8, "0")}`;

/** Waits until a file or folder is on the disk. */
async function sync(path: string): Promise<void> {
  using file = await Deno.open(path);
  await file.sync();
}

async function remove(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** Deletes all but the newest checkpoints, `state.json` first, so that none is ever half there and believed. */
async function prune(folder: string, keepLast: number): Promise<void> {
  for (const step of (await checkpointSteps(folder)).slice(keepLast)) {
    const path = `${folder}/${nameOf(step)}`;
    await remove(`${path}/state.json`);
    await remove(path);
  }
}
