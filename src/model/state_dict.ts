/**
 * State dicts: parameters and buffers (frequencies) under FLASH-pytorch's names, so that PyTorch loads them with `strict=True`.
 *
 * @module
 */

import type { LayoutEntry } from "../layout.ts";
import { type FlatTensor, toFloat32 } from "../safetensors.ts";
import type { Definition } from "./parameters.ts";
import type { Frequencies } from "./frequencies.ts";

/** The content of a state dict, in the form that the model computes with. */
export interface LoadedState {
  /** The flat parameter vector. */
  params: Float32Array;
  /** Its buffers. */
  frequencies: Frequencies;
}

/**
 * Reads a state dict, ours or FLASH-pytorch's.
 *
 * @throws {TypeError} when it doesn't fit the model: names all that is missing, unexpected or of another shape
 */
export function fromStateDict(
  definition: Pick<Definition<unknown>, "layout" | "frozen" | "frequencies">,
  state: Readonly<Record<string, FlatTensor>>,
): LoadedState {
  const { layout } = definition;
  const params = new Float32Array(layout.size);
  const frequencies = read(
    definition,
    state,
    layout.entries,
    (values, { offset }) => params.set(values, offset),
  );
  return { params, frequencies };
}

/**
 * Reads the buffers of a state dict.
 *
 * @throws {TypeError} as {@linkcode fromStateDict}
 */
export function frequenciesIn(
  definition: Pick<Definition<unknown>, "frozen" | "frequencies">,
  buffers: Readonly<Record<string, FlatTensor>>,
): Frequencies {
  return read(definition, buffers, [], () => {});
}

/** Reads parameters, each passed to `use`, and frequencies. Nothing else may be in the state dict. */
function read(
  { frozen, frequencies }: Pick<Definition<unknown>, "frozen" | "frequencies">,
  state: Readonly<Record<string, FlatTensor>>,
  entries: readonly LayoutEntry[],
  use: (values: Float32Array, entry: LayoutEntry) => void,
): Frequencies {
  const problems: string[] = [];
  const unexpected = new Set(Object.keys(state));
  const take = (name: string, shape: readonly number[]): Float32Array | undefined => {
    const found = state[name];
    unexpected.delete(name);
    const wanted = `[${shape.join(", ")}]`;
    if (!found) {
      problems.push(`${name} ${wanted} is missing`);
    } else if (`[${found.shape.join(", ")}]` !== wanted) {
      problems.push(`${name} is [${found.shape.join(", ")}], the model's is ${wanted}`);
    } else if (!/^(F|BF)/.test(found.dtype)) {
      problems.push(`${name} holds ${found.dtype}, not floating point numbers`);
    } else return toFloat32(found.dtype, found.values);
  };

  for (const entry of entries) {
    const values = take(entry.name, entry.shape);
    if (values) use(values, entry);
  }
  const loaded: { -readonly [Key in keyof Frequencies]: Frequencies[Key] } = {};
  for (const { name, holds } of frozen) {
    const values = take(name, [frequencies[holds]!.length]);
    if (values && loaded[holds]?.some((value, i) => value !== values[i])) {
      problems.push(`${name} differs from the same frequencies of another layer`);
    }
    if (values) loaded[holds] ??= values.slice();
  }
  for (const name of unexpected) problems.push(`${name} is unexpected`);
  if (problems.length > 0) {
    throw new TypeError(`The state dict does not fit the model:\n${problems.join("\n")}`);
  }
  return loaded;
}

/** The buffers of a state dict, under all their names. */
export function buffersOf(
  { frozen }: Pick<Definition<unknown>, "frozen">,
  frequencies: Frequencies,
): Record<string, FlatTensor> {
  return Object.fromEntries(frozen.map(({ name, holds }) => {
    const values = frequencies[holds]!;
    return [name, { dtype: "F32", shape: [values.length], values }];
  }));
}

/** Prefix of the names of frequencies among the vectors of a replica's state. */
const FREQUENCIES = "frequencies.";

/** Frequencies as vectors of a replica's state. */
export function vectorsOfFrequencies(frequencies: Frequencies): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(frequencies).map(([name, values]) => [FREQUENCIES + name, values]),
  );
}

/** The frequencies among the vectors of a replica's state. */
export function frequenciesOfVectors(vectors: Readonly<Record<string, Float32Array>>): Frequencies {
  const named = Object.entries(vectors).filter(([name]) => name.startsWith(FREQUENCIES));
  return Object.fromEntries(named.map(([name, values]) => [name.slice(FREQUENCIES.length), values]));
}
