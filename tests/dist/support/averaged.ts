/**
 * The mean of sums as one vector.
 *
 * @module
 */

import { valuesIn } from "../../../src/dist/vectors/kernel.ts";
import { meanByChunks, type PartOfMean } from "../../../src/dist/allreduce/mean.ts";

/** What the chunks of `meanByChunks()` hold, joined. */
export function averaged(part: PartOfMean): Float32Array<ArrayBuffer> {
  const mean = new Float32Array(part.values).fill(7);
  for (const { from, count } of meanByChunks(part)) mean.set(valuesIn(0, count), from);
  return mean;
}
