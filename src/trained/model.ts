/**
 * Opens a trained model, given its run's folder, a checkpoint's folder, or its model.safetensors.
 *
 * @module
 */

import { newestCheckpoint } from "../checkpoint/checkpoint.ts";
import { readStateFile, readTensors } from "../checkpoint/files.ts";
import { checkpointSteps, exists, placeOf, STATE_FILE } from "../checkpoint/folder.ts";
import { ConfigError, errorMessage } from "../errors.ts";
import { FLASHTransformer, type FLASHTransformerOptions } from "../model/mod.ts";
import { resolveTransformer } from "../model/options.ts";
import { RunFolder } from "../run/folder/run_folder.ts";
import { type FlatTensors, parseSafetensors } from "../safetensors.ts";
import { toTensors } from "../checkpoint/tensor_files.ts";
import { tf } from "../tensorflow/mod.ts";

/** A model as read from its files. */
export interface TrainedModel extends Pick<FlatTensors, "tensors"> {
  /** Options of the transformer. */
  options: FLASHTransformerOptions;
  /** Tokens of its training windows; four groups where that is not known. */
  trainedLength: number;
  /** Whether its text was read with `data.raw`. */
  trainedRaw: boolean;
  /** The file of the parameters. */
  path: string;
}

/**
 * Opens a model, as {@linkcode readModel} reads it. The caller disposes it. The backend has to be initialized.
 */
export async function openModel(
  path: string,
  onDamaged: (text: string) => void,
): Promise<{ model: FLASHTransformer; trainedLength: number; trainedRaw: boolean }> {
  const { options, tensors, trainedLength, trainedRaw, path: file } = await readModel(path, onDamaged);
  const model = new FLASHTransformer(options);
  const state = toTensors(tensors, file);
  fitting(file, () => model.loadStateDict(state));
  tf.dispose(state);
  return { model, trainedLength, trainedRaw };
}

/**
 * Reads a model.
 *
 * @param path a run's folder, whose newest undamaged checkpoint is taken; a checkpoint's folder; or a `model.safetensors`
 * that flashmob wrote
 * @param onDamaged called for each skipped checkpoint, with the reason
 * @throws {ConfigError} where there is no model
 * @throws {SyntaxError} where it is damaged
 */
export async function readModel(path: string, onDamaged: (text: string) => void): Promise<TrainedModel> {
  if (!await exists(path)) throw new ConfigError([`${path}: there is no such file or folder`]);
  if ((await Deno.stat(path)).isFile) return await readModelFile(path);
  const folder = await checkpointIn(path, onDamaged);
  const about = await readStateFile(folder);
  const { tensors } = await readTensors(folder, "model.safetensors", about);
  const options = about.config.model as FLASHTransformerOptions;
  const trainedLength = about.config.data?.seqLen ?? fourGroups(options);
  const trainedRaw = about.config.data?.raw ?? false;
  return { options, tensors, trainedLength, trainedRaw, path: `${folder}/model.safetensors` };
}

/** The folder itself if it is a checkpoint, or the newest undamaged checkpoint of its run. */
async function checkpointIn(path: string, onDamaged: (text: string) => void): Promise<string> {
  if (await exists(`${path}/${STATE_FILE}`)) return path;
  for (const folder of [RunFolder.at(path).checkpoints, path]) {
    if ((await checkpointSteps(folder)).length === 0) continue;
    const step = await newestCheckpoint(folder, onDamaged);
    if (step !== undefined) return placeOf(folder, step);
    throw new ConfigError([`${path}: all checkpoints in it are damaged`]);
  }
  throw new ConfigError([
    `${path}: no checkpoint; expected a run's folder, a checkpoint's (step-…) or a model.safetensors`,
  ]);
}

async function readModelFile(path: string): Promise<TrainedModel> {
  const file = parseSafetensors(await Deno.readFile(path), path);
  const options = optionsIn(file, path);
  if (UNINFERABLE.some((name) => options[name] === undefined)) {
    throw new ConfigError([
      `${path}: it doesn't say what model it is for, as those do that flashmob wrote; ` +
      "make a checkpoint of it: deno task convert --help",
    ]);
  }
  const complete = fitting(path, () => resolveTransformer(options as FLASHTransformerOptions));
  const { tensors } = file;
  return { options: complete, tensors, trainedLength: fourGroups(complete), trainedRaw: false, path };
}

/** Options that can't be derived from the shapes and names of a state dict. */
export const UNINFERABLE = ["groupSize", "causal", "shiftTokens", "laplaceAttnFn"] as const;

/**
 * The model's options in a file's metadata.
 *
 * @throws {ConfigError} where that can't be read
 */
export function optionsIn(
  { metadata: { model } }: FlatTensors,
  path: string,
): Partial<FLASHTransformerOptions> {
  if (model === undefined) return {};
  const options = fitting(path, () => JSON.parse(model));
  if (typeof options === "object" && options !== null) return options;
  throw new ConfigError([
    `${path}: expected the options of a model in its metadata, found ${model.slice(0, 80)}`,
  ]);
}

/** Runs `read`, with its errors as those of the file. */
export function fitting<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new ConfigError([`${path}: ${errorMessage(error)}`]);
  }
}

const fourGroups = ({ groupSize = 256 }: FLASHTransformerOptions) => 4 * groupSize;
