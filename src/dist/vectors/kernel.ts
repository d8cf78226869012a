/**
 * Arithmetic on chunks of vectors, four values at a time: plain float32 operations, each rounded by itself, several times as
 * fast as in JavaScript. A chunk is small enough to stay in the processor's cache from reading to writing.
 *
 * @module
 */

import {
  add,
  addError,
  areFinite,
  divide,
  divideAndSquare as divideAndSquareBytes,
  encodeInt8,
  encodeInt8WithResidual,
  memory,
  narrow,
  scale,
  squares,
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

/** {@linkcode divideSlot}, and {@linkcode squaresOf} of the quotients. */
export function divideAndSquare(slot: number, divisor: number, count: number): number {
  if (Math.fround(divisor) === divisor) {
    return divideAndSquareBytes(slot * BYTES, divisor, paddedLengthOf(slot, count));
  }
  divideSlot(slot, divisor, count);
  return squaresOf(slot, count);
}

/** The sum of the squares of a slot's values, in float64: four sums, each of every fourth value, in the end added up. */
export function squaresOf(slot: number, count: number): number {
  return squares(slot * BYTES, paddedLengthOf(slot, count));
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
