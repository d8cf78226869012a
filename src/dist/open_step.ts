/**
 * The sums of the step that is open, as they came: takes parts of sums in any order, from anyone, doubled or not, and says for
 * each part when they make up the sum over the whole batch.
 *
 * @module
 */

import type { VectorCodec } from "./codecs/codecs.ts";
import { addSlots, CHUNK, divideSlot, valuesIn } from "./codecs/kernel.ts";
import type { Range } from "./messages.ts";
import { divideBy } from "./reduction.ts";
import { pathTo, splitOf } from "./tree.ts";

/** One part of sums over disjoint subtrees, encoded, by node. */
export type Sums = ReadonlyMap<string, Uint8Array>;

/** Collects the sums of one step, part by part, until they can be added. */
export class OpenStep {
  /** For each part, the sums that wait for others, by node. */
  readonly #waiting = new Map<number, Map<string, Uint8Array>>();
  readonly #complete = new Set<number>();

  /**
   * A step without any sums.
   *
   * @param microBatches size of the tree
   */
  constructor(readonly microBatches: number) {}

  /** Bytes that wait. */
  get heldBytes(): number {
    let bytes = 0;
    for (const nodes of this.#waiting.values()) for (const { length } of nodes.values()) bytes += length;
    return bytes;
  }

  /** Whether this part of the sum over all micro-batches was complete once. */
  isComplete(part: number): boolean {
    return this.#complete.has(part);
  }

  /** Whether this part of the sum over [lo, hi) is here, by itself, within a larger one or in pieces. */
  has(lo: number, hi: number, part: number): boolean {
    if (this.#complete.has(part)) return true;
    const nodes = this.#waiting.get(part);
    return nodes !== undefined &&
      ((pathTo(lo, hi, this.microBatches) ?? []).some((node) => nodes.has(keyOf(node))) ||
        covers(nodes, lo, hi));
  }

  /**
   * Takes one part of the sum over [lo, hi).
   *
   * @returns the sums that make up this part of the whole, once it is complete; undefined before, and when the part is
   *   contained in what came before
   * @throws {RangeError} where [lo, hi) is not a node of the tree
   */
  add(lo: number, hi: number, part: number, bytes: Uint8Array): Sums | undefined {
    const path = pathTo(lo, hi, this.microBatches);
    if (!path) throw new RangeError(`[${lo}, ${hi}) is not a subtree of ${this.microBatches} micro-batches`);
    if (this.has(lo, hi, part)) return undefined;
    let nodes = this.#waiting.get(part);
    if (!nodes) this.#waiting.set(part, nodes = new Map());
    dropWithin(nodes, lo, hi);
    nodes.set(keyOf([lo, hi]), bytes);
    if (!covers(nodes, 0, this.microBatches)) return undefined;
    this.#waiting.delete(part);
    this.#complete.add(part);
    return nodes;
  }
}

/**
 * The mean from the sums that make up the whole batch's: added in the tree's order, divided by the tokens. Chunk by chunk, so
 * that all of a chunk is done while it is in the processor's cache.
 */
export function averageInto(
  mean: Float32Array,
  sums: Sums,
  { codec, microBatches, tokens }: { codec: VectorCodec; microBatches: number; tokens: number },
): void {
  const isFloat32 = Math.fround(tokens) === tokens; // dividing then rounds as reduction.ts does
  for (let from = 0; from < mean.length; from += CHUNK) {
    const count = Math.min(CHUNK, mean.length - from);
    const sum = (lo: number, hi: number, slot: number) => {
      const bytes = sums.get(keyOf([lo, hi]));
      if (bytes) return codec.load(bytes, mean.length, from, slot);
      const middle = splitOf(lo, hi);
      sum(lo, middle, slot);
      sum(middle, hi, slot + 1);
      addSlots(slot, slot + 1, count);
    };
    sum(0, microBatches, 0);
    if (isFloat32) divideSlot(0, tokens, count);
    mean.set(valuesIn(0, count), from);
  }
  if (!isFloat32) divideBy(mean, tokens);
}

/** Whether sums make up the one over [lo, hi). */
function covers(nodes: Sums, lo: number, hi: number): boolean {
  if (nodes.has(keyOf([lo, hi]))) return true;
  if (hi - lo === 1) return false;
  const middle = splitOf(lo, hi);
  return covers(nodes, lo, middle) && covers(nodes, middle, hi);
}

/** Forgets sums of smaller subtrees that a larger one contains. */
function dropWithin(nodes: Map<string, Uint8Array>, lo: number, hi: number): void {
  for (const key of nodes.keys()) {
    const [from, to] = key.split("-").map(Number);
    if (lo <= from && to <= hi) nodes.delete(key);
  }
}

function keyOf([lo, hi]: Range): string {
  return `${lo}-${hi}`;
}
