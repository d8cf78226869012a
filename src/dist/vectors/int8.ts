/**
 * Linear quantization to int8 by blocks of 256 values, each with a float32 scale, its largest magnitude / 127: a value is its code,
 * from −127 to 127, times the scale, and off by at most half a scale. A block with NaN or an infinity becomes NaN as a whole. All
 * scales come first, then all codes.
 *
 * One scale per block keeps an outlier's harm within its block: so do the buckets of QSGD (Alistarh et al., 2017), whose rounding is
 * stochastic, and Dettmers et al., "8-bit optimizers via block-wise quantization", 2022, whose codes are not evenly spaced.
 *
 * @module
 */

import { CHUNK, INT8_BLOCK, loadCodes, storeCodes } from "./kernel.ts";
import type { VectorCodec } from "./codec.ts";

/** Rounds to nearest, ties to even. */
export const int8: VectorCodec = {
  name: "int8",
  isExact: false,
  hasFeedback: true,
  byteLength: (count) => 4 * blocksOf(count) + count,
  store(slot, bytes, values, from, feedback) {
    const { codes, scales } = chunkOf(bytes, values, from);
    const within = (vector?: Float32Array) => vector?.subarray(from, from + codes.length);
    storeCodes(
      slot,
      codes,
      scales,
      feedback && {
        committed: within(feedback.committed),
        pending: within(feedback.pending),
        tokens: feedback.tokens,
      },
    );
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
