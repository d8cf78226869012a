/**
 * Checkpoints of a run: `step-00000100/` with `model.safetensors` (parameters under FLASH-pytorch's names, with its
 * buffers), `optimizer.safetensors` (every other state vector, flat) and `state.json` (what vouches for both).
 * A checkpoint is complete or not there: it is written beside its place, synced to the disk, and renamed.
 *
 * @module
 */

import { createHash } from "node:crypto";
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
} from "./checkpoint_folder.ts";
import type { ReplicaState } from "./dist/replica.ts";
import { RunError } from "./errors.ts";
import type { Layout } from "./layout.ts";
import {
  encodeSafetensors,
  type FlatTensor,
  type FlatTensors,
  parseSafetensors,
  writeSafetensors,
} from "./safetensors.ts";

export { checkpointSteps };

export type { ReplicaState };

/** The version of this format; another one is refused. */
const FORMAT = 1;

/** The run part of a configuration, as far as a checkpoint looks into it. */
export interface CheckpointConfig {
  /** Options of the transformer. */
  model: object;
  /** How the text was cut. */
  data?: { seqLen: number };
}

/** What `state.json` holds. */
export interface StateFile {
  /** Version of this format. */
  format: number;
  /** As in {@linkcode ReplicaState}. */
  step: number;
  /** As in {@linkcode ReplicaState}. */
  updates: number;
  /** As in {@linkcode ReplicaState}. */
  tokens: number;
  /** Fingerprint of the layout. */
  layout: string;
  /** The run part of the configuration. */
  config: CheckpointConfig;
  /** SHA-256 of the other two files. */
  sha256: Record<string, string>;
}

/** What belongs in a checkpoint besides the state. */
export interface CheckpointContext {
  /** Of the parameters. */
  layout: Layout;
  /** Entries of the state dict that are not trained. */
  buffers: Record<string, FlatTensor>;
  /** The run part of the configuration. */
  config: CheckpointConfig;
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
    const about = stateFileOf(state, context, files);
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
    await prune(folder, state.step, keepLast, losses);
    return place;
  } catch (error) {
    await remove(staging).catch(() => {}); // what is left of it is in nobody's way
    throw new RunError(
      `The checkpoint ${place} can't be written: ${wordsOf(error)}. Those before it are untouched.`,
    );
  }
}

function filesOf(
  { step, vectors: { params, ...others } }: ReplicaState,
  { layout, buffers, config }: CheckpointContext,
): Record<string, File> {
  const metadata = { step: String(step), source: "flashmob" };
  const flat = (values: Float32Array): FlatTensor => ({ dtype: "F32", shape: [values.length], values });
  return {
    "model.safetensors": {
      tensors: { ...unflatten(layout, params), ...buffers },
      metadata: { ...metadata, model: JSON.stringify(config.model) }, // so that the file can stand alone
    },
    "optimizer.safetensors": { tensors: mapValues(others, flat), metadata },
  };
}

function stateFileOf(
  { step, updates, tokens }: ReplicaState,
  { layout: { fingerprint: layout }, config }: CheckpointContext,
  files: Record<string, File>,
): StateFile {
  const sha256 = mapValues(files, ({ tensors, metadata }) => hashOf(encodeSafetensors(tensors, metadata)));
  return { format: FORMAT, step, updates, tokens, layout, config, sha256 };
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
  /** The run part of the configuration that it was written with. */
  config: CheckpointConfig;
  /** Its folder. */
  path: string;
}

/**
 * The step of the newest checkpoint in a folder that is whole.
 *
 * @param onDamaged told of each one that was passed over, and why
 * @returns undefined when there is none
 * @throws {RunError} at one of another format: going on from an older one would in time replace it
 */
export async function newestCheckpoint(
  folder: string,
  onDamaged: (text: string) => void,
): Promise<number | undefined> {
  for (const step of await checkpointSteps(folder)) {
    const place = placeOf(folder, step);
    try {
      await checkFiles(place, await readStateFile(place));
      return step;
    } catch (error) {
      if (error instanceof RunError) throw error;
      onDamaged(`passed over a damaged checkpoint: ${wordsOf(error)}`);
    }
  }
}

/**
 * Reads the checkpoint of a step. One file is in memory at a time, so that it takes one copy of the state.
 *
 * @param layout of the model that is to go on
 * @throws {SyntaxError} when it is damaged, or of another model
 * @throws {RunError} when it is of another format
 */
export async function loadCheckpoint(
  folder: string,
  step: number,
  layout: Layout,
): Promise<LoadedCheckpoint> {
  const path = placeOf(folder, step);
  const about = await readStateFile(path);
  if (about.layout !== layout.fingerprint) {
    throw new SyntaxError(`Can't use ${path}: it holds a model of other shapes than the configuration's.`);
  }
  const { params, buffers } = flatten(layout, (await readTensors(path, "model.safetensors", about)).tensors);
  const optimizer = await readTensors(path, "optimizer.safetensors", about);
  const others = mapValues(optimizer.tensors, ({ values }) => values as Float32Array);
  const { updates, tokens, config } = about;
  return { state: { step, updates, tokens, vectors: { ...others, params } }, buffers, config, path };
}

/**
 * What vouches for a checkpoint.
 *
 * @throws {SyntaxError} when it is missing or damaged
 * @throws {RunError} when it is of another format
 */
export async function readStateFile(path: string): Promise<StateFile> {
  let about: unknown;
  try {
    about = JSON.parse(await Deno.readTextFile(`${path}/${STATE_FILE}`));
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    const problem = isMissing
      ? "is missing: it was being deleted"
      : `can't be read (${(error as Error).message})`;
    throw new SyntaxError(`Can't use ${path}: ${STATE_FILE} ${problem}.`);
  }
  const { format, sha256 } = (about ?? {}) as Partial<StateFile>;
  if (typeof format === "number" && format !== FORMAT) {
    throw new RunError(
      `Can't use ${path}: it has format ${format}, this version reads ${FORMAT}; take the flashmob that wrote it.`,
    );
  }
  if (format !== FORMAT || typeof sha256 !== "object") {
    throw new SyntaxError(`Can't use ${path}: ${STATE_FILE} is not one of a checkpoint.`);
  }
  return about as StateFile;
}

/**
 * A safetensors file of a checkpoint, its checksum found right.
 *
 * @throws {SyntaxError} when it is missing or damaged
 */
export async function readTensors(path: string, name: string, about: StateFile): Promise<FlatTensors> {
  return parseSafetensors(await readChecked(path, name, about), `${path}/${name}`);
}

/** Throws a SyntaxError for the first file that is missing or damaged. */
async function checkFiles(path: string, about: StateFile): Promise<void> {
  for (const name of ["model.safetensors", "optimizer.safetensors"]) await readChecked(path, name, about);
}

async function readChecked(
  path: string,
  name: string,
  { sha256 }: StateFile,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(`${path}/${name}`);
  } catch (error) {
    throw new SyntaxError(`Can't use ${path}: ${name} can't be read (${(error as Error).message}).`);
  }
  if (hashOf([bytes]) === sha256[name]) return bytes;
  throw new SyntaxError(
    `Can't use ${path}: ${name} is damaged, its SHA-256 is not the one in ${STATE_FILE}.`,
  );
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

/** The flat vector of the parameters in a file, and copies of what else is in it. */
function flatten(layout: Layout, tensors: Record<string, FlatTensor>) {
  const params = new Float32Array(layout.size);
  for (const { name, offset } of layout.entries) params.set(tensors[name].values as Float32Array, offset);
  const parameters = new Set(layout.entries.map(({ name }) => name));
  const others = Object.entries(tensors).filter(([name]) => !parameters.has(name));
  const buffers = mapValues(
    Object.fromEntries(others),
    (tensor): FlatTensor => ({ ...tensor, values: tensor.values.slice() }),
  );
  return { params, buffers };
}

function mapValues<A, B>(record: Record<string, A>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function hashOf(pieces: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
