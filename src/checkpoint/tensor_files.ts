/**
 * Safetensors files as tensors.
 *
 * @module
 */

import { type FlatTensor, parseSafetensors, toFloat32 } from "../safetensors.ts";
import { tf } from "../tensorflow/mod.ts";

/**
 * Reads a safetensors file as tensors, by name. Floating point values become float32, whole numbers int32, BOOL bool. The
 * caller disposes of the tensors.
 *
 * @throws {SyntaxError} when the file is damaged or no safetensors file
 * @throws {RangeError} when a 64-bit whole number doesn't fit into 32 bits
 *
 * @example
 * ```ts
 * import { readSafetensors } from "./tensor_files.ts";
 * const { tensors, metadata } = await readSafetensors("tests/fixtures/transformer_causal.safetensors");
 * console.assert(metadata.kind === "FLASHTransformer" && tensors.output.rank === 3);
 * ```
 */
export async function readSafetensors(
  path: string,
): Promise<{ tensors: Record<string, tf.Tensor>; metadata: Record<string, string> }> {
  const { tensors, metadata } = parseSafetensors(await Deno.readFile(path), path);
  return { tensors: toTensors(tensors, path), metadata };
}

/** Tensors of what a file holds; `where` names it in error messages. Throws as {@linkcode readSafetensors}. */
export function toTensors(
  tensors: Readonly<Record<string, FlatTensor>>,
  where: string,
): Record<string, tf.Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, flat]) => [name, tensorOf(flat, `"${name}" of ${where}`)]),
  );
}

function tensorOf({ dtype, shape, values }: FlatTensor, name: string): tf.Tensor {
  if (dtype === "BOOL") return tf.tensor(values as Uint8Array, [...shape], "bool");
  if (dtype[0] === "F" || dtype === "BF16") return tf.tensor(toFloat32(dtype, values), [...shape], "float32");
  const whole = values instanceof Int32Array ? values : Int32Array.from(values as ArrayLike<number>, Number);
  const misfit = values.findIndex((value: number | bigint, i: number) => Number(value) !== whole[i]);
  if (misfit >= 0) {
    throw new RangeError(`Can't read ${name} as int32: value ${misfit} is ${values[misfit]}.`);
  }
  return tf.tensor(whole, [...shape], "int32");
}
