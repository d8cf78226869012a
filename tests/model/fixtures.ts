/**
 * What FLASH-pytorch computed, as `tests/fixtures/README.md` describes it, with its arguments as our options.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type FlatTensor, parseSafetensors } from "../../src/safetensors.ts";
import { tf } from "../../src/tensorflow/mod.ts";

const FOLDER = new URL("../fixtures/", import.meta.url);

/** One case. */
export interface Fixture {
  name: string;
  /** "GAU", "FLASH", "FLASHTransformer" or "training". */
  kind: string;
  /** The constructor's arguments under our names. */
  options: Record<string, unknown>;
  /** The file's other metadata. */
  metadata: Record<string, string>;
  /** Tensors whose names begin with a prefix, under the rest of their names. */
  group(prefix: string): Record<string, FlatTensor>;
  /** The values of one tensor. */
  values(name: string): Float32Array;
  /** One tensor, or undefined where the file has none of this name. */
  tensor(name: string): tf.Tensor | undefined;
}

const camelCase = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** FLASH-pytorch's arguments under our names. Only layers of FLASH know `rotary`. */
function optionsOf(kind: string, args: Record<string, unknown>): Record<string, unknown> {
  const options = Object.fromEntries(Object.entries(args).map(([name, value]) => [camelCase(name), value]));
  if (kind === "GAU") delete options.rotary;
  return options;
}

/** The cases of some kinds. */
export function loadFixtures(...kinds: string[]): Fixture[] {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) =>
    name.endsWith(".safetensors")
  );
  return names.toSorted().map(loadFixture).filter(({ kind }) => kinds.includes(kind));
}

function loadFixture(file: string): Fixture {
  const { tensors, metadata } = parseSafetensors(Deno.readFileSync(new URL(file, FOLDER)), file);
  const { kind, args, ...rest } = metadata;
  return {
    name: file.replace(".safetensors", ""),
    kind,
    options: optionsOf(kind, JSON.parse(args)),
    metadata: rest,
    group: (prefix) =>
      Object.fromEntries(
        Object.entries(tensors).filter(([name]) => name.startsWith(prefix)).map((
          [name, tensor],
        ) => [name.slice(prefix.length), tensor]),
      ),
    values: (name) => tensors[name].values as Float32Array,
    tensor: (name) => tensors[name] && tensorOf(tensors[name]),
  };
}

/** A tensor of the case as TensorFlow has it. */
export function tensorOf({ dtype, shape, values }: FlatTensor): tf.Tensor {
  const kinds = { F32: "float32", I32: "int32", BOOL: "bool" } as Record<
    string,
    "float32" | "int32" | "bool"
  >;
  return tf.tensor(values as Float32Array, [...shape], kinds[dtype]);
}

/** All of a group as tensors. */
export function tensorsOf(group: Record<string, FlatTensor>): Record<string, tf.Tensor> {
  return Object.fromEntries(Object.entries(group).map(([name, flat]) => [name, tensorOf(flat)]));
}

/** Largest difference of two arrays by the largest magnitude of the second. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let difference = 0, magnitude = 0;
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i])) return Infinity;
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    magnitude = Math.max(magnitude, Math.abs(expected[i]));
  }
  return magnitude === 0 ? difference : difference / magnitude;
}

/** Asserts that values agree with those of FLASH-pytorch as closely as the fixtures' README says. */
export function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const error = relativeError(actual, expected);
  // two float32 computations in different orders: the README's bound, a few 1e-6 is usual
  assert(error < 1e-5, `${what} is off by ${error.toExponential(2)} of its largest magnitude`);
}
