/**
 * The encoded sums of the open step: accepts parts of sums in any order, from any member, with duplicates, and tells for each part
 * when they cover the whole batch.
 *
 * @module
 */

import { BufferPool } from "../vectors/buffer_pool.ts";
import { pathTo, type Range, splitOf } from "../vectors/tree.ts";
import type { OfferedSum } from "../protocol/messages.ts";

/** One part of a sum, encoded. */
export interface SumPart {
  /** A view that may be valid only during the call, or of another process's memory. */
  readonly bytes: Uint8Array;
  /** For memory of another process: whether it is still that part. */
  readonly holds?: () => boolean;
}

/** One part of the sums over disjoint subtrees, by node. */
export type Sums = ReadonlyMap<string, SumPart>;

/** Collects the sums of one step, part by part, until they can be added. */
export class PartialSums {
  /** For each incomplete part its sums, by node. */
  readonly #waiting = new Map<number, Map<string, SumPart>>();
  readonly #complete = new Set<number>();
  /** Sums that were copied to a buffer of the pool. */
  readonly #copies = new Set<Uint8Array>();

  /**
   * A step without any sums.
   *
   * @param leaves size of the tree: micro-batches, or members in a round
   * @param absent leaves without a sum: the whole is the sum over the others
   * @param buffers for copies of the sums of incomplete parts
   */
  constructor(
    readonly leaves: number,
    readonly absent: ReadonlySet<number> = new Set(),
    readonly buffers: BufferPool = new BufferPool(0),
  ) {}

  /** Bytes of the sums of incomplete parts, without those in the memory of others. */
  get heldBytes(): number {
    let bytes = 0;
    for (const nodes of this.#waiting.values()) {
      for (const { bytes: { length }, holds } of nodes.values()) if (!holds) bytes += length;
    }
    return bytes;
  }

  /** Whether this part of the sum over all micro-batches has been completed. */
  isComplete(part: number): boolean {
    return this.#complete.has(part);
  }

  /** Whether this part of the sum over [lo, hi) has arrived: itself, within a larger sum, or in pieces. */
  has(lo: number, hi: number, part: number): boolean {
    if (this.#complete.has(part)) return true;
    const nodes = this.#waiting.get(part);
    return nodes !== undefined &&
      ((pathTo(lo, hi, this.leaves) ?? []).some((node) => nodes.has(keyOf(node))) ||
        this.#covers(nodes, lo, hi));
  }

  /**
   * Takes one part of the sum over [lo, hi).
   *
   * @param sum copied where the part is not complete yet, unless it is in the memory of another process
   * @returns the sums that make up this part of the whole, once it is complete, to be given to {@linkcode PartialSums.release};
   *   undefined before, and where this part is contained in what arrived earlier
   * @throws {RangeError} where [lo, hi) is not a node of the tree
   */
  add(lo: number, hi: number, part: number, sum: SumPart): Sums | undefined {
    if (!pathTo(lo, hi, this.leaves)) {
      throw new RangeError(`[${lo}, ${hi}) is not a subtree of ${this.leaves} leaves`);
    }
    if (this.has(lo, hi, part)) return undefined;
    let nodes = this.#waiting.get(part);
    if (!nodes) this.#waiting.set(part, nodes = new Map());
    this.#dropWithin(nodes, lo, hi);
    nodes.set(keyOf([lo, hi]), sum);
    if (!this.#covers(nodes, 0, this.leaves)) {
      nodes.set(keyOf([lo, hi]), this.#kept(sum));
      return undefined;
    }
    this.#waiting.delete(part);
    this.#complete.add(part);
    return nodes;
  }

  /**
   * Takes back the sums of a part that {@linkcode PartialSums.add} has returned as complete where some do not hold any more: their
   * memory has other contents by now. The others wait for these to come again.
   *
   * @returns whether there was any
   */
  reopen(part: number, sums: Sums): boolean {
    const sound = [...sums].filter(([, { holds }]) => holds?.() ?? true);
    if (sound.length === sums.size) return false;
    this.#complete.delete(part);
    this.#waiting.set(part, new Map(sound.map(([key, sum]) => [key, this.#kept(sum)])));
    return true;
  }

  /** Returns the buffers of sums that are no longer needed. */
  release(sums: Iterable<SumPart>): void {
    for (const { bytes } of sums) {
      if (this.#copies.delete(bytes)) this.buffers.give(bytes as Uint8Array<ArrayBuffer>);
    }
  }

  /** A sum that outlives the message that it came with. */
  #kept(sum: SumPart): SumPart {
    return sum.holds || this.#copies.has(sum.bytes) ? sum : { bytes: this.#copyOf(sum.bytes) };
  }

  #copyOf(bytes: Uint8Array): Uint8Array {
    const copy = this.buffers.take(bytes.length);
    copy.set(bytes);
    this.#copies.add(copy);
    return copy;
  }

  /** Drops sums of smaller subtrees within [lo, hi). */
  #dropWithin(nodes: Map<string, SumPart>, lo: number, hi: number): void {
    for (const [key, sum] of nodes) {
      const [from, to] = key.split("-").map(Number);
      if (lo > from || to > hi) continue;
      nodes.delete(key);
      this.release([sum]);
    }
  }

  /** Whether the sums cover [lo, hi), except for absent leaves. */
  #covers(nodes: Sums, lo: number, hi: number): boolean {
    if (nodes.has(keyOf([lo, hi]))) return true;
    if (hi - lo === 1) return this.absent.has(lo);
    const middle = splitOf(lo, hi);
    return this.#covers(nodes, lo, middle) && this.#covers(nodes, middle, hi);
  }
}

/** The name of a node among {@linkcode Sums}. */
export function keyOf([lo, hi]: Range): string {
  return `${lo}-${hi}`;
}

/** The leaves that no sum is over: in a round, those of members that were lost. */
export function absentFrom(sums: readonly OfferedSum[], leaves: number): Set<number> {
  const all = Array.from({ length: leaves }, (_, leaf) => leaf);
  return new Set(all.filter((leaf) => !sums.some(({ lo, hi }) => lo <= leaf && leaf < hi)));
}
