/**
 * A member's sums in memory that reducers of its machine read: two vectors, as many as a member uploads in a step. Further sums, which
 * it computes for members that were lost, lie elsewhere and travel as bytes.
 *
 * @module
 */

import { inGrains, type SegmentAddress } from "../memory/header.ts";
import type { Refusal } from "../memory/libc.ts";
import type { Reference } from "../memory/reference.ts";
import { Segment } from "../memory/segment.ts";
import { BUFFERS } from "../memory/stamps.ts";

/** Memory for one sum of the open step. */
export interface SumPlace {
  /** Buffer of the segment. */
  readonly buffer: number;
  /** Stamp of the sum. */
  readonly stamp: number;
  /** The sum's values, or what was there before. */
  readonly values: Float32Array;
}

/** Memory for the sums of one step after the other. */
export class SharedSums implements Disposable {
  #used = 0;

  private constructor(private readonly segment: Segment, private readonly size: number) {}

  /** Takes the memory for vectors of this many values, all of it now; or says why it can't be had. */
  static async create(size: number): Promise<SharedSums | Refusal> {
    const segment = await Segment.create(BUFFERS * stride(size));
    return "refused" in segment ? segment : new SharedSums(segment, size);
  }

  /** For others to open it. */
  get address(): SegmentAddress {
    return this.segment.address;
  }

  /** Memory for one more sum of the open step; undefined where there is none left. What is not kept is handed out again. */
  next(): SumPlace | undefined {
    const buffer = this.#used;
    if (buffer === BUFFERS) return undefined;
    const stamp = this.segment.renew(buffer), from = buffer * stride(this.size) / 4;
    return { buffer, stamp, values: this.segment.floats.subarray(from, from + this.size) };
  }

  /** This memory, which was handed out last, holds a sum of the open step. */
  keep({ buffer }: SumPlace): void {
    this.#used = buffer + 1;
  }

  /** No sum is needed any more. */
  forget(): void {
    this.#used = 0;
  }

  /** Some values of a sum. */
  referenceTo({ buffer, stamp }: SumPlace, from: number, count: number): Reference {
    const offset = buffer * stride(this.size) + 4 * from;
    return { address: this.address, buffer, stamp, offset, length: 4 * count };
  }

  /** Gives the memory back. */
  [Symbol.dispose](): void {
    this.segment.close();
  }
}

/** Bytes from one vector to the next. */
function stride(size: number): number {
  return inGrains(4 * size);
}
