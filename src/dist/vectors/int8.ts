/**
 * Blocks of 256 values, each with a float32 scale: its largest magnitude / 127, and a value is its code, from −127 to 127,
 * times the scale. Off by at most half a scale. A block with NaN or an infinity becomes NaN as a whole. All scales come
 * first, then all codes.
 *
 * @module
 */

import type { RandomStream } from "../../prng.ts";
import { CHUNK, dithers, INT8_BLOCK, loadCodes, storeCodes } from "./kernel.ts";
import type { VectorCodec } from "./codecs.ts";

/** Random numbers for stochastic rounding: value i of a vector takes number `from` + i of the stream. */
export interface Dither {
  /** Of its own for each vector that is encoded. */
  stream: RandomStream;
  /** Place in the stream of the first value. */
  from: number;
}

/** Rounds to nearest, ties to even; with dither, stochastically. */
export const int8: VectorCodec = {
  name: "int8",
  isExact: false,
  hasFeedback: true,
  byteLength: (count) => 4 * blocksOf(count) + count,
  store(slot, bytes, values, from, { feedback, dither } = {}) {
    const { codes, scales } = chunkOf(bytes, values, from);
    const within = (vector?: Float32Array) => vector?.subarray(from, from + codes.length);
    if (dither) fillDithers(dither, from, codes.length);
    storeCodes(
      slot,
      codes,
      scales,
      feedback && {
        settled: within(feedback.settled),
        pending: within(feedback.pending),
        tokens: feedback.tokens,
      },
    );
    if (dither) dithers.fill(0);
  },
  load(bytes, values, from, slot) {
    const { codes, scales } = chunkOf(bytes, values, from);
    loadCodes(codes, scales, slot);
  },
};

function blocksOf(count: number): number {
  return Math.ceil(count / INT8_BLOCK);
}

/** Codes and scales of the chunk that begins with a value. */
function chunkOf(bytes: Uint8Array, values: number, from: number): { codes: Uint8Array; scales: Uint8Array } {
  const to = Math.min(from + CHUNK, values), codesFrom = 4 * blocksOf(values);
  return {
    codes: bytes.subarray(codesFrom + from, codesFrom + to),
    scales: bytes.subarray(4 * from / INT8_BLOCK, 4 * blocksOf(to)),
  };
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
