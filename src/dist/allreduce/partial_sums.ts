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

/** One part of the sums over disjoint subtrees, by {@linkcode keyOf}. */
export type Sums = ReadonlyMap<number, SumPart>;

/** The sums of an incomplete part. */
interface Waiting {
  readonly sums: Map<number, SumPart>;
  /** How many leaves below each node have arrived, without absent ones; none where nothing has. */
  readonly arrived: Map<number, number>;
}

/**
 * Collects the sums of one step, part by part, until they can be added. What a part of a sum costs grows with the depth of the tree,
 * not with the number of members.
 */
export class PartialSums {
  readonly #waiting = new Map<number, Waiting>();
  readonly #complete = new Set<number>();
  /** Sums that were copied to a buffer of the pool. */
  readonly #copies = new Set<Uint8Array>();
  #heldBytes = 0;
  /** How many leaves before each one are absent. */
  readonly #absentBefore: Uint32Array;

  /**
   * A step without any sums.
   *
   * @param leaves size of the tree: micro-batches, or members in a round
   * @param absent leaves without a sum: the whole is the sum over the others
   * @param buffers for copies of the sums of incomplete parts
   */
  constructor(
    readonly leaves: number,
    absent: ReadonlySet<number> = new Set(),
    readonly buffers: BufferPool = new BufferPool(0),
  ) {
    this.#absentBefore = new Uint32Array(leaves + 1);
    for (let leaf = 0; leaf < leaves; leaf++) {
      this.#absentBefore[leaf + 1] = this.#absentBefore[leaf] + (absent.has(leaf) ? 1 : 0);
    }
  }

  /** Bytes of sums that were copied and are still needed. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether this part of the sum over all micro-batches has been completed. */
  isComplete(part: number): boolean {
    return this.#complete.has(part);
  }

  /** Whether this part of the sum over [lo, hi), a node, has arrived: itself, within a larger sum, or in pieces. */
  has(lo: number, hi: number, part: number): boolean {
    if (this.#complete.has(part)) return true;
    const waiting = this.#waiting.get(part);
    if (!waiting) return false;
    return this.#isIn(waiting, [lo, hi]) ||
      (pathTo(lo, hi, this.leaves) ?? []).some((node) => waiting.sums.has(keyOf(node)));
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
    const path = pathTo(lo, hi, this.leaves);
    if (!path) throw new RangeError(`[${lo}, ${hi}) is not a subtree of ${this.leaves} leaves`);
    if (this.has(lo, hi, part)) return undefined;
    const waiting = this.#waitingFor(part);
    this.#insert(waiting, path, sum);
    if (!this.#isIn(waiting, [0, this.leaves])) {
      waiting.sums.set(keyOf([lo, hi]), this.#kept(sum));
      return undefined;
    }
    this.#waiting.delete(part);
    this.#complete.add(part);
    return waiting.sums;
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
    const waiting = this.#waitingFor(part);
    for (const [key, sum] of sound) {
      this.#insert(waiting, pathTo(Math.floor(key / SHIFT), key % SHIFT, this.leaves)!, this.#kept(sum));
    }
    return true;
  }

  /** Returns the buffers of sums that are no longer needed. */
  release(sums: Iterable<SumPart>): void {
    for (const { bytes } of sums) {
      if (!this.#copies.delete(bytes)) continue;
      this.#heldBytes -= bytes.length;
      this.buffers.give(bytes as Uint8Array<ArrayBuffer>);
    }
  }

  #waitingFor(part: number): Waiting {
    const waiting = this.#waiting.get(part) ?? { sums: new Map(), arrived: new Map() };
    this.#waiting.set(part, waiting);
    return waiting;
  }

  /** Puts a sum at the end of a path, in place of smaller ones below. */
  #insert(waiting: Waiting, path: readonly Range[], sum: SumPart): void {
    const { sums, arrived } = waiting, node = path.at(-1)!;
    const gained = this.#present(node) - (arrived.get(keyOf(node)) ?? 0);
    this.#dropWithin(waiting, node);
    sums.set(keyOf(node), sum);
    arrived.set(keyOf(node), this.#present(node));
    for (const above of path.slice(0, -1)) {
      arrived.set(keyOf(above), (arrived.get(keyOf(above)) ?? 0) + gained);
    }
  }

  /** Drops the sums of a node and of all below it. */
  #dropWithin(waiting: Waiting, [lo, hi]: Range): void {
    const key = keyOf([lo, hi]);
    if (!waiting.arrived.delete(key)) return;
    const sum = waiting.sums.get(key);
    if (sum) {
      waiting.sums.delete(key);
      return this.release([sum]);
    }
    const middle = splitOf(lo, hi);
    this.#dropWithin(waiting, [lo, middle]);
    this.#dropWithin(waiting, [middle, hi]);
  }

  /** Whether all leaves of a node have arrived, except for absent ones. */
  #isIn({ arrived }: Waiting, node: Range): boolean {
    return (arrived.get(keyOf(node)) ?? 0) === this.#present(node);
  }

  /** Leaves of a node that are not absent. */
  #present([lo, hi]: Range): number {
    return hi - lo - (this.#absentBefore[hi] - this.#absentBefore[lo]);
  }

  /** A sum that outlives the message that it came with. */
  #kept(sum: SumPart): SumPart {
    return sum.holds || this.#copies.has(sum.bytes) ? sum : { bytes: this.#copyOf(sum.bytes) };
  }

  #copyOf(bytes: Uint8Array): Uint8Array {
    const copy = this.buffers.take(bytes.length);
    copy.set(bytes);
    this.#copies.add(copy);
    this.#heldBytes += copy.length;
    return copy;
  }
}

/** More than the number of leaves of any tree. */
const SHIFT = 2 ** 24;

/** The number of a node among {@linkcode Sums}. */
export function keyOf([lo, hi]: Range): number {
  return lo * SHIFT + hi;
}

/** The leaves that no sum is over: in a round, those of members that were lost. */
export function absentFrom(sums: readonly OfferedSum[], leaves: number): Set<number> {
  const isThere = new Uint8Array(leaves);
  for (const { lo, hi } of sums) isThere.fill(1, lo, hi);
  const absent = new Set<number>();
  isThere.forEach((there, leaf) => there || absent.add(leaf));
  return absent;
}
