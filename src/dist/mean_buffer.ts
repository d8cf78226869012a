/**
 * Where a worker collects the parts of means until their commits.
 *
 * @module
 */

import type { VectorCodec } from "./codecs/codecs.ts";
import type { Frame } from "./frames.ts";

/** One who joins keeps means while it takes over the state: so many bytes of them, and at least so many. */
const MOST_BYTES = 64 * 1024 * 1024;
const LEAST_BUFFERS = 4;

/** The mean of one step, part by part. */
interface MeanBuffer {
  values: Float32Array;
  have: Set<number>;
  /** Over how many leaves. Where a member was lost in a round, its mean is made anew, over fewer. */
  leaves: number;
}

/** Means by step. */
export class Means {
  readonly #buffers = new Map<number, MeanBuffer>();
  /** Vectors of steps that are over, to be used again. */
  readonly #spare: Float32Array[] = [];
  readonly #parts: number;
  readonly #most: number;

  /**
   * No means.
   *
   * @param size values of a mean
   * @param partElements values of a part
   * @param codec how means are written
   */
  constructor(readonly size: number, readonly partElements: number, readonly codec: VectorCodec) {
    this.#parts = Math.ceil(size / partElements);
    this.#most = Math.max(LEAST_BUFFERS, Math.floor(MOST_BYTES / (4 * size)));
  }

  /** The mean of a step; undefined where parts are missing. */
  of(step: number): Float32Array | undefined {
    const buffer = this.#buffers.get(step);
    return buffer?.have.size === this.#parts ? buffer.values : undefined;
  }

  /**
   * Takes a part.
   *
   * @returns false where it is not a part of this vector, is over more leaves than a later one, or there are too many means
   */
  take(frame: Frame): boolean {
    const from = frame.part * this.partElements;
    const to = Math.min(from + this.partElements, this.size);
    const fits = frame.codec === this.codec.name && frame.parts === this.#parts && frame.part < this.#parts &&
      frame.payload.length === this.codec.byteLength(to - from);
    const buffer = fits ? this.#buffers.get(frame.step) ?? this.#begin(frame.step) : undefined;
    if (!buffer || frame.hi > buffer.leaves) return false;
    if (frame.hi < buffer.leaves) Object.assign(buffer, { leaves: frame.hi, have: new Set() });
    this.codec.decode(frame.payload, buffer.values.subarray(from, to));
    buffer.have.add(frame.part);
    return true;
  }

  /** Forgets the means up to a step. */
  forgetThrough(step: number): void {
    for (const [of, buffer] of this.#buffers) {
      if (of > step) continue;
      this.#buffers.delete(of);
      if (this.#spare.length === 0) this.#spare.push(buffer.values);
    }
  }

  #begin(step: number): MeanBuffer | undefined {
    if (this.#buffers.size >= this.#most) return undefined;
    const values = this.#spare.pop() ?? new Float32Array(this.size);
    const buffer = { values, have: new Set<number>(), leaves: Infinity };
    this.#buffers.set(step, buffer);
    return buffer;
  }
}
