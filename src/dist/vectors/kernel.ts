/**
 * Arithmetic on chunks of vectors, four values at a time: plain float32 operations, each rounded by itself, several times as
 * fast as in JavaScript. A chunk is small enough to stay in the processor's cache from reading to writing.
 *
 * @module
 */

import {
  add,
  addError,
  addSquares as addSquaresOfBytes,
  areFinite,
  divide,
  divideAndAddSquares,
  encodeInt8,
  encodeInt8WithResidual,
  memory,
  narrow,
  scale,
  sumOfColumns,
  widen,
} from "./kernel.wasm";

/** Values of a chunk. */
export const CHUNK = 32_768;
/** Values that share a scale in int8. */
export const INT8_BLOCK = 256;

/** Chunks that can be held at once; enough for the levels of a tree over 2 ** 23 micro-batches. */
const SLOTS = 24;
const BYTES = 4 * CHUNK;
const slots = Array.from(
  { length: SLOTS },
  (_, slot) => new Float32Array(memory.buffer, slot * BYTES, CHUNK),
);
/** Where codes, scales and residuals are. */
const ENCODED = SLOTS * BYTES, SCALES = ENCODED + BYTES, RESIDUAL = SCALES + BYTES;
const encoded = new Uint8Array(memory.buffer, ENCODED, BYTES);
const scales = new Uint8Array(memory.buffer, SCALES, BYTES / INT8_BLOCK);
const residual = new Float32Array(memory.buffer, RESIDUAL, CHUNK);
/** Values of a row of the norm's blocks, and their running sums of squares, behind the scales. */
const ROW = 1024;
const COLUMNS = SCALES + BYTES / 2;
const columns = new Float64Array(memory.buffer, COLUMNS, ROW);

/** A view of the first values of a slot, valid until the kernel is used again. */
export function valuesIn(slot: number, count: number): Float32Array {
  return slots[slot].subarray(0, count);
}

/** Bytes of n values, rounded up to whole vectors of four. */
function lengthOf(count: number): number {
  return 4 * count + 15 & ~15;
}

/** The same, with zeros in what was added. */
function paddedLengthOf(slot: number, count: number): number {
  slots[slot].fill(0, count, count + 3);
  return lengthOf(count);
}

/** Bytes of n values, filled up with zeros to whole fours of rows: they add nothing to a sum of squares. */
function fourRowsOf(slot: number, count: number): number {
  const padded = Math.ceil(count / (4 * ROW)) * 4 * ROW;
  slots[slot].fill(0, count, padded);
  return 4 * padded;
}

/** Adds the values of one slot to those of another. */
export function addSlots(left: number, right: number, count: number): void {
  add(left * BYTES, right * BYTES, lengthOf(count));
}

/** Divides the values of a slot. Each quotient is the exact one, rounded once. */
export function divideSlot(slot: number, divisor: number, count: number): void {
  if (Math.fround(divisor) === divisor) return divide(slot * BYTES, divisor, lengthOf(count));
  const values = slots[slot];
  for (let i = 0; i < count; i++) values[i] /= divisor;
}

/**
 * Begins a sum of squares over a block of values, which come chunk by chunk, whole rows of 1,024 but for the last. It is defined in
 * float64, so that another processor can do the same: the rows are added in order, column by column; the sums of the columns, taken as
 * 32 rows of 32, likewise; then the last 32 one after the other.
 */
export function clearSquares(): void {
  columns.fill(0);
}

/** Adds the squares of a slot's values to the sum. */
export function addSquares(slot: number, count: number): void {
  addSquaresOfBytes(slot * BYTES, fourRowsOf(slot, count), COLUMNS);
}

/** {@linkcode divideSlot}, and {@linkcode addSquares} of the quotients. */
export function divideAndSquare(slot: number, divisor: number, count: number): void {
  if (Math.fround(divisor) === divisor) {
    return divideAndAddSquares(slot * BYTES, divisor, fourRowsOf(slot, count), COLUMNS);
  }
  divideSlot(slot, divisor, count);
  addSquares(slot, count);
}

/** The sum of squares since {@linkcode clearSquares}. */
export function sumOfSquares(): number {
  return sumOfColumns(COLUMNS);
}

/** Whether all values of a slot are finite. */
export function areFiniteIn(slot: number, count: number): boolean {
  return areFinite(slot * BYTES, paddedLengthOf(slot, count)) === 1;
}

/** Copies values into a slot. */
export function loadValues(values: Float32Array, slot: number): void {
  slots[slot].set(values);
}

/** Copies values into a slot, from their bytes. */
export function loadFloats(bytes: Uint8Array, slot: number): void {
  new Uint8Array(memory.buffer, slot * BYTES, BYTES).set(bytes);
}

/** Decodes values into a slot, from their upper halves. */
export function loadHalves(bytes: Uint8Array, slot: number): void {
  encoded.set(bytes);
  widen(ENCODED, slot * BYTES, lengthOf(bytes.length / 2));
}

/** Decodes values into a slot, from codes and the scales of their blocks. */
export function loadCodes(codes: Uint8Array, blockScales: Uint8Array, slot: number): void {
  encoded.set(codes);
  scales.set(blockScales);
  scale(ENCODED, SCALES, slot * BYTES, blockScales.length / 4);
}

/** Writes a slot's values as their bytes. */
export function storeFloats(slot: number, into: Uint8Array): void {
  into.set(new Uint8Array(memory.buffer, slot * BYTES, into.length));
}

/** Writes a slot's values as their upper halves, rounded to nearest, ties to even. */
export function storeHalves(slot: number, into: Uint8Array): void {
  narrow(slot * BYTES, ENCODED, 2 * into.length + 31 & ~31);
  into.set(encoded.subarray(0, into.length));
}

/** Error feedback of an encoding: residuals in units of the mean, as long as what is encoded. */
export interface Feedback {
  /** Added to the values, times the tokens. */
  committed?: Float32Array;
  /** Set to the quantization error, divided by the tokens; without `committed` the error is added to it. */
  pending?: Float32Array;
  /** Counted tokens of the batch that the values are a sum over. */
  tokens: number;
}

/** Writes a slot's values as codes and the scales of their blocks. With feedback the slot is overwritten. */
export function storeCodes(
  slot: number,
  codes: Uint8Array,
  blockScales: Uint8Array,
  { committed, pending, tokens }: Feedback = { tokens: 1 },
): void {
  const blocks = blockScales.length / 4, values = slot * BYTES, count = codes.length;
  slots[slot].fill(0, count, blocks * INT8_BLOCK);
  if (committed) {
    residual.set(committed);
    residual.fill(0, count, blocks * INT8_BLOCK);
    encodeInt8WithResidual(values, SCALES, ENCODED, RESIDUAL, tokens, blocks);
  } else {
    encodeInt8(values, SCALES, ENCODED, blocks);
    if (pending) {
      residual.set(pending);
      addError(values, SCALES, ENCODED, RESIDUAL, tokens, blocks);
    }
  }
  pending?.set(residual.subarray(0, count));
  codes.set(encoded.subarray(0, count));
  blockScales.set(scales.subarray(0, blockScales.length));
}
