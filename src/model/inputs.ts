/**
 * Checks of a caller's inputs before they reach TensorFlow, which would fail deep inside, or clamp silently.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { NOT_COUNTED } from "./loss.ts";

/** Token ids or labels [b, n]: an int32 tensor or nested arrays. */
export type Ids = tf.Tensor | readonly (readonly number[])[];

/** Which tokens others may see [b, n]: a bool tensor or nested arrays. */
export type Mask = tf.Tensor | readonly (readonly boolean[])[];

const describe = (shape: readonly number[]) => `[${shape.join(", ")}]`;

/** Token ids [b, n], each from 0 to below `numTokens`; throws a RangeError that names the first one that isn't. */
export function idsTensor(ids: Ids, numTokens: number): tf.Tensor {
  const tensor = integers("ids", ids, 0, numTokens - 1);
  checkNotEmpty("ids", tensor.shape);
  return tensor;
}

/** Labels of the shape of the ids, each −1 (not counted) or from 0 to below `numTokens`. */
export function labelsTensor(labels: Ids, ids: tf.Tensor, numTokens: number): tf.Tensor {
  const tensor = integers("labels", labels, NOT_COUNTED, numTokens - 1);
  checkShape("labels", tensor.shape, ids.shape, "like ids");
  return tensor;
}

/** What a mask may hide besides padding at the end of a sequence. */
interface MaskRules {
  /** Whether each token hands features to the next, so that only the end can be hidden. */
  shiftTokens: boolean;
  /** Whether it was asked for to hide any tokens. */
  maskAnywhere?: boolean;
}

/** A mask for b sequences of n tokens. */
export function maskTensor(
  mask: Mask | undefined,
  [b, n]: readonly number[],
  { shiftTokens, maskAnywhere = false }: MaskRules,
): tf.Tensor | undefined {
  if (mask === undefined) return;
  const tensor = mask instanceof tf.Tensor ? mask : tf.tensor2d(rows("mask", mask), undefined, "bool");
  if (tensor.dtype !== "bool") {
    throw new TypeError(`mask must be a tensor of bool, not of ${tensor.dtype}; cast it: mask.cast("bool").`);
  }
  checkShape("mask", tensor.shape, [b, n], "one entry per token of the input");
  if (shiftTokens || !maskAnywhere) checkPadding(tensor, shiftTokens);
  return tensor;
}

/** The input of a layer: float32 [b, n, dim]. */
export function checkInput(x: tf.Tensor, dim: number): void {
  if (!(x instanceof tf.Tensor) || x.dtype !== "float32") {
    throw new TypeError(
      `The input must be a tensor of float32, not ${x instanceof tf.Tensor ? x.dtype : x}.`,
    );
  }
  if (x.rank !== 3 || x.shape[2] !== dim) {
    throw new RangeError(
      `The input is ${describe(x.shape)}; it must be [batch, sequence, ${dim}], the last being dim.`,
    );
  }
  checkNotEmpty("The input", x.shape);
}

/** A bias to add to a GAU's scores: [n, n]. */
export function checkBias(bias: tf.Tensor | undefined, n: number): void {
  if (bias) checkShape("relPosBias", bias.shape, [n, n], "one value per query and key");
}

function integers(what: string, given: Ids, low: number, high: number): tf.Tensor {
  const values = given instanceof tf.Tensor ? integerValues(what, given) : rows(what, given).flat();
  const width = given instanceof tf.Tensor ? given.shape[1]! : given[0].length;
  for (let i = 0; i < values.length; i++) {
    if (Number.isInteger(values[i]) && values[i] >= low && values[i] <= high) continue;
    const place = `${what}[${Math.floor(i / width)}][${i % width}]`;
    throw new RangeError(`${place} is ${values[i]}; it must be a whole number from ${low} to ${high}.`);
  }
  return given instanceof tf.Tensor ? given : tf.tensor2d(rows(what, given), undefined, "int32");
}

function integerValues(what: string, tensor: tf.Tensor): ArrayLike<number> {
  if (tensor.dtype !== "int32") {
    throw new TypeError(
      `${what} must be a tensor of int32, not of ${tensor.dtype}; cast it: ${what}.cast("int32").`,
    );
  }
  if (tensor.rank !== 2) {
    throw new RangeError(`${what} is ${describe(tensor.shape)}; it must be [batch, sequence].`);
  }
  return tensor.dataSync();
}

/** Nested arrays with rows of one length. */
function rows<T>(what: string, given: readonly (readonly T[])[]): T[][] {
  if (!Array.isArray(given) || given.length === 0 || !given.every((row) => Array.isArray(row))) {
    throw new TypeError(
      `${what} must be a tensor [batch, sequence] or an array of arrays, one per sequence.`,
    );
  }
  const odd = given.findIndex((row) => row.length !== given[0].length);
  if (odd > 0) {
    throw new RangeError(
      `${what}[${odd}] has ${given[odd].length} entries, ${what}[0] has ${given[0].length}; ` +
        `fill shorter sequences up and mask what you added.`,
    );
  }
  return given as T[][];
}

function checkNotEmpty(what: string, shape: readonly number[]): void {
  if (shape[0] === 0 || shape[1] === 0) {
    throw new RangeError(`${what} is ${describe(shape)}; there must be at least one sequence and one token.`);
  }
}

function checkShape(what: string, shape: readonly number[], wanted: readonly number[], why: string): void {
  if (describe(shape) !== describe(wanted)) {
    throw new RangeError(`${what} is ${describe(shape)}; it must be ${describe(wanted)}, ${why}.`);
  }
}

/** A masked token may have only masked ones after it. */
function checkPadding(mask: tf.Tensor, shiftTokens: boolean): void {
  const values = mask.dataSync(), n = mask.shape[1]!;
  const i = values.findIndex((value: number, i: number) => i % n > 0 && value !== 0 && values[i - 1] === 0);
  if (i < 0) return;
  const reason = shiftTokens
    ? "with shiftTokens only the end of a sequence can be masked, because each token hands half of its features to the next."
    : "padding belongs at the end of a sequence, because positions count it; maskAnywhere: true masks other tokens, too.";
  throw new RangeError(`mask[${Math.floor(i / n)}][${i % n}] is true after a false: ${reason}`);
}
