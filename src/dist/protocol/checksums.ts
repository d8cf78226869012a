/**
 * Checksums that travel in place of long lists.
 *
 * @module
 */

import { crc32 } from "node:zlib";

/** Of the names of members, in any order: whether two sets of members are the same. */
export function checksumOfNames(names: Iterable<string>): number {
  return crc32([...names].sort().join("\n"));
}

/** Of the samples' checksums in the order of the micro-batches, null where samples were dropped: which samples a step consumed. */
export function checksumOfSamples(crcs: readonly (number | null)[]): number {
  return crc32(JSON.stringify(crcs));
}
