/**
 * The sum of the step that is open: takes parts of sums in any order, from anyone, doubled or not, and yields each part
 * of the whole sum as soon as it is complete, added in the tree's order.
 *
 * @module
 */

import type { Range } from "./messages.ts";
import { addInto } from "./reduction.ts";
import { pathTo, splitOf } from "./tree.ts";

/** Collects the sums of one step, part by part. Holds only what can't be added yet. */
export class OpenStep {
  /** For each part, the sums that wait for their neighbours, by node. */
  readonly #waiting = new Map<number, Map<string, Float32Array>>();
  readonly #complete = new Set<number>();
  /** Vectors that were added to others, to be used again: new memory costs more than adding. */
  readonly #spare: Float32Array[] = [];

  /**
   * A step without any sums.
   *
   * @param leaves size of the tree: micro-batches, or members in a round
   * @param absent leaves that nothing will come from: sums are over the others
   */
  constructor(readonly leaves: number, readonly absent: ReadonlySet<number> = new Set()) {}

  /** A vector to be filled and added. */
  vector(length: number): Float32Array {
    const found = this.#spare.findIndex((spare) => spare.length === length);
    return found < 0 ? new Float32Array(length) : this.#spare.splice(found, 1)[0];
  }

  /** Takes a vector back that is not needed any more. */
  reuse(vector: Float32Array): void {
    this.#spare.push(vector);
  }

  /** Bytes of the vectors that wait. */
  get heldBytes(): number {
    let bytes = 0;
    for (const nodes of this.#waiting.values()) {
      for (const values of nodes.values()) bytes += values.byteLength;
    }
    return bytes;
  }

  /** Whether this part of the sum over all micro-batches was complete once. */
  isComplete(part: number): boolean {
    return this.#complete.has(part);
  }

  /** Whether this part of the sum over [lo, hi) is here, by itself or within a larger one. */
  has(lo: number, hi: number, part: number): boolean {
    if (this.#complete.has(part)) return true;
    const nodes = this.#waiting.get(part);
    return nodes !== undefined &&
      (pathTo(lo, hi, this.leaves) ?? []).some((node) => nodes.has(keyOf(node)));
  }

  /**
   * Takes one part of the sum over [lo, hi).
   *
   * @param values become the step's own: they are added to
   * @returns this part of the sum over all micro-batches, once it is complete; undefined before, and when the part is
   *   contained in what came before
   * @throws {RangeError} where [lo, hi) is not a node of the tree
   */
  add(lo: number, hi: number, part: number, values: Float32Array): Float32Array | undefined {
    const path = pathTo(lo, hi, this.leaves);
    if (!path) throw new RangeError(`[${lo}, ${hi}) is not a subtree of ${this.leaves} leaves`);
    if (this.#complete.has(part)) return undefined;
    let nodes = this.#waiting.get(part);
    if (!nodes) this.#waiting.set(part, nodes = new Map());
    for (const node of path) if (nodes.has(keyOf(node))) return undefined;
    dropWithin(nodes, lo, hi);
    const whole = this.#combineUp(nodes, path, values);
    if (whole) {
      this.#waiting.delete(part);
      this.#complete.add(part);
    }
    return whole;
  }

  /** Adds the last node of the path to its neighbour, the sum to its neighbour, and so on; keeps what must wait. */
  #combineUp(
    nodes: Map<string, Float32Array>,
    path: Range[],
    values: Float32Array,
  ): Float32Array | undefined {
    for (let level = path.length - 1; level > 0; level--) {
      const [lo, hi] = path[level - 1];
      const middle = splitOf(lo, hi);
      const isLeft = path[level][0] === lo;
      const neighbour: Range = isLeft ? [middle, hi] : [lo, middle];
      if (this.#isAbsent(neighbour)) continue;
      const other = nodes.get(keyOf(neighbour));
      if (!other) {
        nodes.set(keyOf(path[level]), values);
        return undefined;
      }
      nodes.delete(keyOf(neighbour));
      const [left, right] = isLeft ? [values, other] : [other, values];
      addInto(left, right);
      this.reuse(right);
      values = left;
    }
    return values;
  }

  #isAbsent([lo, hi]: Range): boolean {
    for (let leaf = lo; leaf < hi; leaf++) if (!this.absent.has(leaf)) return false;
    return true;
  }
}

/** Forgets sums of smaller subtrees that a larger one contains. */
function dropWithin(nodes: Map<string, Float32Array>, lo: number, hi: number): void {
  for (const key of nodes.keys()) {
    const [from, to] = key.split("-").map(Number);
    if (lo <= from && to <= hi) nodes.delete(key);
  }
}

function keyOf([lo, hi]: Range): string {
  return `${lo}-${hi}`;
}
