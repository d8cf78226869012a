/**
 * The mean of sums as one vector.
 *
 * @module
 */

import type { VectorCodec } from "../../src/dist/codecs/codecs.ts";
import { valuesIn } from "../../src/dist/kernel.ts";
import { meanByChunks, type Sums } from "../../src/dist/open_step.ts";

/** What the chunks of `meanByChunks()` hold, joined. */
export function averaged(
  sums: Sums,
  of: { codec: VectorCodec; leaves: number; tokens: number; values: number },
): Float32Array<ArrayBuffer> {
  const mean = new Float32Array(of.values).fill(7);
  for (const { from, count } of meanByChunks(sums, of)) mean.set(valuesIn(0, count), from);
  return mean;
}
