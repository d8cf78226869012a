/**
 * Weights from and to FLASH-pytorch, as a `state_dict` of its `FLASHTransformer` in a safetensors file.
 *
 * @module
 */

import { saveCheckpoint } from "../checkpoint/checkpoint.ts";
import { exists } from "../checkpoint/folder.ts";
import { resolveConfig, runPart, stringifyConfig, withNewIdentity } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { type FLASHTransformerOptions, resolveTransformer } from "../model/options.ts";
import { defineTransformer } from "../model/parameters.ts";
import { buffersOf, fromStateDict } from "../model/state_dict.ts";
import { RunFolder } from "../run/folder/run_folder.ts";
import { type FlatTensor, parseSafetensors, writeSafetensors } from "../safetensors.ts";
import { fitting, optionsIn, readModel, UNINFERABLE } from "./model.ts";

/** Options that can't be derived from the shapes and names of a state dict. */
export type UninferableOptions = Pick<FLASHTransformerOptions, typeof UNINFERABLE[number]>;

/** The flags of `deno task convert` for them. */
const FLAGS: Record<keyof UninferableOptions, string> = {
  groupSize: "--group-size N",
  causal: "--causal",
  shiftTokens: "--shift-tokens or --no-shift-tokens",
  laplaceAttnFn: "--laplace-attn-fn or --no-laplace-attn-fn",
};

/** How imported weights are trained on: the defaults, which begin high, are for weights that have learned nothing yet. */
const TRAINED_ON = { learningRate: 1e-3, schedule: { kind: "constant" } };

/**
 * Makes a run's folder from a state dict, with a configuration and a checkpoint of step 1, for `generate`, `evaluate` and
 * `train --resume`. (Step 0 is the initialization by the seed, and never saved.)
 *
 * @param source a safetensors file; names may begin with `net.`, as in FLASH-pytorch's training wrapper. A file that
 * flashmob wrote has all options in its metadata
 * @param out the folder; must not hold a run
 * @param given options that the file does not have. There are no defaults, and the file's options can't be overridden
 * @throws {ConfigError} where files or options can't be used or contradict each other, an option is missing, or the state dict is
 * not that of a FLASHTransformer, with all problems
 */
export async function importStateDict(
  source: string,
  out: string,
  given: UninferableOptions = {},
): Promise<void> {
  if (!await exists(source)) throw new ConfigError([`${source}: there is no such file`]);
  if (!(await Deno.stat(source)).isFile) {
    throw new ConfigError([
      `${source}: expected a state_dict's file, such as a checkpoint's model.safetensors`,
    ]);
  }
  const file = parseSafetensors(await Deno.readFile(source), source);
  const tensors = withoutPrefix(file.tensors, "net.");
  const known = { ...optionsOf(tensors, source), ...optionsIn(file, source) };
  const model = { ...known, ...uninferable(source, known, given) };
  const config = withNewIdentity(resolveConfig({ model, optimizer: TRAINED_ON, machine: { out } }));
  const definition = defineTransformer(resolveTransformer(config.model));
  const { params, frequencies } = fitting(source, () => fromStateDict(definition, tensors));
  const run = await RunFolder.create(out, stringifyConfig(config));
  const { layout } = definition;
  const zeros = () => new Float32Array(layout.size);
  await saveCheckpoint(
    run.checkpoints,
    { step: 1, updates: 0, tokens: 0, vectors: { params, m: zeros(), v: zeros() } },
    { layout, buffers: buffersOf(definition, frequencies), config: runPart(config), run: config.id },
    config.checkpoint.keepLast,
  );
}

/**
 * Writes the state dict of a trained model: `FLASHTransformer(…).load_state_dict(load_file(out))` takes it, strictly.
 *
 * @param source a run's folder, a checkpoint's or a model.safetensors
 * @param out the file; must not exist
 * @param onDamaged called for each skipped checkpoint, with the reason
 * @returns the options of the model
 * @throws {ConfigError} where there is no such model, or `out` exists
 */
export async function exportStateDict(
  source: string,
  out: string,
  onDamaged: (text: string) => void,
): Promise<FLASHTransformerOptions> {
  if (await exists(out)) throw new ConfigError([`${out}: is there already; name another file`]);
  const { tensors, options } = await readModel(source, onDamaged);
  await writeSafetensors(out, tensors, { format: "pt", model: JSON.stringify(options) });
  return options;
}

/** The options that only the user can give; throws a ConfigError where they are missing or differ from the file's. */
function uninferable(
  source: string,
  known: FLASHTransformerOptions,
  given: UninferableOptions,
): UninferableOptions {
  const problems = UNINFERABLE.flatMap((name) => {
    if (known[name] === undefined && given[name] === undefined) {
      return [`${source} does not say the model's ${name}, and it is not assumed: give ${FLAGS[name]}`];
    }
    if (known[name] === undefined || given[name] === undefined || known[name] === given[name]) {
      return [];
    }
    return [
      `${source} says that the model's ${name} is ${known[name]}, you ${given[name]}: leave the flag out`,
    ];
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.fromEntries(UNINFERABLE.map((name) => [name, known[name] ?? given[name]]));
}

/** The options that follow from the shapes and names of a state dict. */
function optionsOf(tensors: Record<string, FlatTensor>, source: string): FLASHTransformerOptions {
  const shapeOf = (name: string): readonly number[] => {
    const { shape } = tensors[name] ?? {};
    if (shape?.length === 2) return shape;
    const problem = shape ? `is [${shape.join(", ")}]` : "is missing";
    throw new ConfigError([`${source}: no state dict of a FLASHTransformer, ${name} ${problem}`]);
  };
  const [numTokens, dim] = shapeOf("token_emb.weight");
  const [queryKeyDim] = shapeOf("layers.0.to_qk.0.weight");
  const [, hidden] = shapeOf("layers.0.to_out.weight");
  const depth =
    new Set(Object.keys(tensors).flatMap((name) => name.match(/^layers\.(\d+)\./)?.[1] ?? [])).size;
  const factor = hidden / dim;
  return {
    numTokens,
    dim,
    depth,
    queryKeyDim,
    expansionFactor: Math.trunc(dim * factor) === hidden ? factor : (hidden + 0.5) / dim,
    normType: "layers.0.norm.g" in tensors ? "scalenorm" : "layernorm",
  };
}

/** Removes a prefix from the names of tensors, if all have it. */
function withoutPrefix(tensors: Record<string, FlatTensor>, prefix: string): Record<string, FlatTensor> {
  const entries = Object.entries(tensors);
  if (!entries.every(([name]) => name.startsWith(prefix))) return tensors;
  return Object.fromEntries(entries.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}
