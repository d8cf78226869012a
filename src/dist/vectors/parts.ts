/**
 * Whose a part of a vector is: parts are dealt out one after the other.
 *
 * @module
 */

/** The parts of a vector that one of the owners averages. */
export function partsOf(owners: readonly string[], name: string, parts: number): number[] {
  return Array.from({ length: parts }, (_, part) => part).filter((part) => ownerOf(owners, part) === name);
}

/** Who averages a part. */
export function ownerOf(owners: readonly string[], part: number): string {
  return owners[part % owners.length];
}
