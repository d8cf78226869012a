/**
 * The upper half of each float32, rounded to nearest, ties to even: eight bits of precision, the same range. NaN stays
 * NaN; what is above the largest bfloat16 by half a step or more becomes infinite.
 *
 * @module
 */

import type { VectorCodec } from "./codecs.ts";
import { CHUNK, decodeByChunks, loadHalves } from "../kernel.ts";

/** Bits of a float32 infinity; larger without the sign: NaN. */
const INFINITY_BITS = 0x7f800000;

/** Two bytes a value. */
export const bfloat16: VectorCodec = {
  name: "bfloat16",
  hasFeedback: false,
  byteLength: (count) => 2 * count,
  encode(from) {
    const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
    const halves = new Uint16Array(from.length);
    for (let i = 0; i < bits.length; i++) {
      const value = bits[i];
      halves[i] = (value & 0x7fffffff) > INFINITY_BITS
        ? value >>> 16 | 0x40 // a NaN may have only lower bits set
        : value + 0x7fff + (value >>> 16 & 1) >>> 16;
    }
    return new Uint8Array(halves.buffer);
  },
  decode: (bytes, into) => decodeByChunks(bfloat16, bytes, into),
  load: (bytes, _values, from, slot) => loadHalves(bytes.subarray(2 * from, 2 * (from + CHUNK)), slot),
};
