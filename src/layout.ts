/**
 * Where each parameter lies in the one flat vector that holds them all. Gradients, Adam's moments and everything that
 * travels between workers share this order, so that a reduction is one call and the optimizer one loop.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** One parameter, as in FLASH-pytorch's state dict, and its place in the flat vector. */
export interface LayoutEntry {
  /** Name in the state dict. */
  readonly name: string;
  /** Dimensions. */
  readonly shape: readonly number[];
  /** Index of its first value. */
  readonly offset: number;
  /** Number of values. */
  readonly size: number;
}

/** All parameters in order. */
export interface Layout {
  /** One after the other, without gaps. */
  readonly entries: readonly LayoutEntry[];
  /** Number of all values. */
  readonly size: number;
  /** SHA-256 over names and shapes in order, in hexadecimal: equal fingerprints mean vectors that can be added. */
  readonly fingerprint: string;
}

/**
 * Lays parameters out one after the other in the order given.
 *
 * @example
 * ```ts
 * import { layoutOf } from "./layout.ts";
 * const layout = layoutOf([["weight", [2, 3]], ["bias", [2]]]);
 * console.assert(layout.size === 8 && layout.entries[1].offset === 6);
 * ```
 */
export function layoutOf(parameters: Iterable<readonly [name: string, shape: readonly number[]]>): Layout {
  const entries: LayoutEntry[] = [];
  let offset = 0;
  for (const [name, shape] of parameters) {
    const size = shape.reduce((product, dimension) => product * dimension, 1);
    entries.push({ name, shape, offset, size });
    offset += size;
  }
  const hash = createHash("sha256");
  for (const { name, shape } of entries) hash.update(`${name}:${shape.join(",")}\n`);
  return { entries, size: offset, fingerprint: hash.digest("hex") };
}

/** The first parameter in which two layouts differ, as text, or undefined where they are equal. */
export function layoutDifference(ours: Layout, theirs: Layout): string | undefined {
  const describe = (entry?: LayoutEntry) => entry ? `${entry.name} [${entry.shape.join(", ")}]` : "nothing";
  for (let i = 0; i < Math.max(ours.entries.length, theirs.entries.length); i++) {
    const here = describe(ours.entries[i]), there = describe(theirs.entries[i]);
    if (here !== there) return `parameter ${i} is ${here} here and ${there} there`;
  }
}
