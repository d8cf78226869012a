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
import { fitting, optionsIn, readModel, UNTOLD } from "./model.ts";

/** What shapes and names of a state dict do not tell of its model. */
export type UntoldOptions = Pick<FLASHTransformerOptions, typeof UNTOLD[number]>;

/** How `deno task convert` is told each of them. */
const FLAGS: Record<keyof UntoldOptions, string> = {
  groupSize: "--group-size N",
  causal: "--causal",
  shiftTokens: "--shift-tokens or --no-shift-tokens",
  laplaceAttnFn: "--laplace-attn-fn or --no-laplace-attn-fn",
};

/**
 * Makes the folder of a run of a state dict: with a configuration and a checkpoint of step 1, so that `generate` and
 * `evaluate` take it and `train --resume` trains on. (Step 0 is what the seed gives, and never saved.)
 *
 * @param source a safetensors file; names may begin with `net.`, as in FLASH-pytorch's training wrapper. One that flashmob wrote
 * says all of its model
 * @param out the folder; must not hold a run
 * @param given what the file does not say. Nothing of it is assumed, and nothing that the file says is overridden
 * @throws {ConfigError} where files or options can't be used or contradict each other, an option is said by neither, or the
 * state dict is not that of a FLASHTransformer, with all that doesn't fit
 */
export async function importStateDict(
  source: string,
  out: string,
  given: UntoldOptions = {},
): Promise<void> {
  if (!await exists(source)) throw new ConfigError([`${source}: there is no such file`]);
  if (!(await Deno.stat(source)).isFile) {
    throw new ConfigError([
      `${source}: expected a state_dict's file, such as a checkpoint's model.safetensors`,
    ]);
  }
  const file = parseSafetensors(await Deno.readFile(source), source);
  const tensors = withoutPrefix(file.tensors, "net.");
  const told = { ...optionsOf(tensors, source), ...optionsIn(file, source) };
  const model = { ...told, ...untold(source, told, given) };
  const config = withNewIdentity(resolveConfig({ model, machine: { out } }));
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
 * @param out the file; must not be there
 * @param onDamaged told of each checkpoint that was passed over, and why
 * @returns the options of the model
 * @throws {ConfigError} where there is no such model, or `out` is there
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

/** The options that a file does not tell, as they were given; throws a ConfigError where they are not, or differ from the file's. */
function untold(source: string, told: FLASHTransformerOptions, given: UntoldOptions): UntoldOptions {
  const problems = UNTOLD.flatMap((name) => {
    if (told[name] === undefined && given[name] === undefined) {
      return [`${source} does not say the model's ${name}, and it is not assumed: give ${FLAGS[name]}`];
    }
    if (told[name] === undefined || given[name] === undefined || told[name] === given[name]) return [];
    return [
      `${source} says that the model's ${name} is ${told[name]}, you ${given[name]}: leave the flag out`,
    ];
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.fromEntries(UNTOLD.map((name) => [name, told[name] ?? given[name]]));
}

/** The options that shapes and names of a state dict tell. */
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

/** Tensors under names without a prefix that all of them have. */
function withoutPrefix(tensors: Record<string, FlatTensor>, prefix: string): Record<string, FlatTensor> {
  const entries = Object.entries(tensors);
  if (!entries.every(([name]) => name.startsWith(prefix))) return tensors;
  return Object.fromEntries(entries.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}
