/**
 * Blocks of 256 values, each with a float32 scale: its largest magnitude / 127, and a value is its code, from −127 to 127,
 * times the scale. Off by at most half a scale. A block with NaN or an infinity becomes NaN as a whole. All scales come
 * first, then all codes.
 *
 * @module
 */

import type { RandomStream } from "../../prng.ts";
import type { Feedback, VectorCodec } from "./codecs.ts";
import { CHUNK, decodeByChunks, INT8_BLOCK, loadCodes } from "../kernel.ts";
import { compensate, encodeInt8, lose, memory } from "./int8.wasm";

/** Random numbers for stochastic rounding: value i of a vector takes number `from` + i of the stream. */
export interface Dither {
  /** Of its own for each vector that is encoded. */
  stream: RandomStream;
  /** Place in the stream of the first value. */
  from: number;
}

/** Where in the kernel's memory what lies. */
const VALUES = 0, DITHER = 4 * CHUNK, RESIDUAL = 8 * CHUNK, SCALES = 12 * CHUNK, CODES = 13 * CHUNK;
const values = new Float32Array(memory.buffer, VALUES, CHUNK);
const dithers = new Float32Array(memory.buffer, DITHER, CHUNK);
const residual = new Float32Array(memory.buffer, RESIDUAL, CHUNK);
const scales = new Uint8Array(memory.buffer, SCALES, 4 * CHUNK / INT8_BLOCK);
const codes = new Uint8Array(memory.buffer, CODES, CHUNK);

/** Rounds to nearest, ties to even; with dither, stochastically. */
export const int8: VectorCodec = {
  name: "int8",
  hasFeedback: true,
  byteLength: (count) => 4 * blocksOf(count) + count,
  encode(from, feedback, dither) {
    const into = new Uint8Array(int8.byteLength(from.length));
    const codesFrom = 4 * blocksOf(from.length);
    for (let start = 0; start < from.length; start += CHUNK) {
      const count = Math.min(CHUNK, from.length - start), blocks = blocksOf(count);
      values.set(from.subarray(start, start + count));
      values.fill(0, count, blocks * INT8_BLOCK);
      if (dither) fillDithers(dither, start, count);
      if (feedback?.settled) carry(feedback.settled.subarray(start, start + count), feedback.tokens);
      encodeInt8(VALUES, DITHER, SCALES, CODES, blocks);
      if (feedback) noteLoss(feedback, start, count);
      into.set(scales.subarray(0, 4 * blocks), 4 * start / INT8_BLOCK);
      into.set(codes.subarray(0, count), codesFrom + start);
    }
    if (dither) dithers.fill(0);
    return into;
  },
  decode: (bytes, into) => decodeByChunks(int8, bytes, into),
  load(bytes, values, from, slot) {
    const to = Math.min(from + CHUNK, values), codesFrom = 4 * blocksOf(values);
    const scales = bytes.subarray(4 * from / INT8_BLOCK, 4 * blocksOf(to));
    loadCodes(bytes.subarray(codesFrom + from, codesFrom + to), scales, slot);
  },
};

function blocksOf(count: number): number {
  return Math.ceil(count / INT8_BLOCK);
}

/** Adds what earlier steps have lost to the values that are to be encoded. */
function carry(settled: Float32Array, tokens: number): void {
  residual.set(settled);
  residual.fill(0, settled.length, blocksOf(settled.length) * INT8_BLOCK);
  compensate(VALUES, RESIDUAL, tokens, blocksOf(settled.length));
}

/** Notes what the values that were just encoded have lost. */
function noteLoss({ settled, pending, tokens }: Feedback, start: number, count: number): void {
  if (settled) residual.fill(0);
  else residual.set(pending.subarray(start, start + count));
  lose(VALUES, SCALES, CODES, RESIDUAL, tokens, blocksOf(count));
  pending.set(residual.subarray(0, count), start);
}

/**
 * Numbers between −½ and ½, added before rounding to nearest. They have 16 bits, so that adding one to a whole number up
 * to 127 is exact; each word of the stream gives two.
 */
function fillDithers({ stream, from }: Dither, start: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const place = from + start + i;
    const word = stream.word(Math.floor(place / 2));
    const half = place % 2 === 0 ? word & 0xffff : word >>> 16;
    dithers[i] = (half + 0.5) / 0x10000 - 0.5;
  }
}
