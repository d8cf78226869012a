/**
 * Which process reduces a part of a vector: parts are dealt out in turn.
 *
 * @module
 */

/** The parts of a vector that one of the owners reduces. */
export function partsOf(owners: readonly string[], name: string, parts: number): number[] {
  return Array.from({ length: parts }, (_, part) => part).filter((part) => ownerOf(owners, part) === name);
}

/** The owner that reduces a part. */
export function ownerOf(owners: readonly string[], part: number): string {
  return owners[part % owners.length];
}
