/**
 * bfloat16: the upper half of each float32, rounded to nearest, ties to even; eight bits of precision, the same range. NaN stays
 * NaN; what is above the largest bfloat16 by half a step or more becomes infinite. (Kalamkar et al., "A study of BFLOAT16 for deep
 * learning training", 2019.)
 *
 * @module
 */

import { CHUNK, loadHalves, storeHalves } from "./kernel.ts";
import type { VectorCodec } from "./codec.ts";

/** The bytes of the chunk whose first value is number `from`. */
const chunkOf = (bytes: Uint8Array, from: number) => bytes.subarray(2 * from, 2 * (from + CHUNK));

/** Two bytes per value. */
export const bfloat16: VectorCodec = {
  name: "bfloat16",
  isExact: false,
  hasFeedback: false,
  byteLength: (count) => 2 * count,
  store: (slot, bytes, _values, from) => storeHalves(slot, chunkOf(bytes, from)),
  load: (bytes, _values, from, slot) => loadHalves(chunkOf(bytes, from), slot),
};
