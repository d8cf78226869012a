/**
 * Where a worker collects the parts of means until their commits.
 *
 * @module
 */

import { decode } from "../vectors/codecs.ts";
import type { Frame } from "../protocol/frames.ts";
import type { Attempt } from "../protocol/messages.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** A newcomer buffers means during its state transfer: at most this many bytes, but at least this many means. */
const MOST_BYTES = 64 * 1024 * 1024;
const LEAST_BUFFERS = 4;

/** The mean of one step, part by part. */
interface MeanBuffer {
  values: Float32Array;
  have: Set<number>;
  attempt: Attempt;
}

/** Means by step. */
export class Means {
  readonly #buffers = new Map<number, MeanBuffer>();
  /** Vectors of finished steps, to be reused. */
  readonly #spare: Float32Array[] = [];
  readonly #parts: number;
  readonly #most: number;

  /**
   * No means.
   *
   * @param size values of a mean
   * @param partElements values of a part
   * @param codec encodes the means
   */
  constructor(readonly size: number, readonly partElements: number, readonly codec: VectorCodec) {
    this.#parts = Math.ceil(size / partElements);
    this.#most = Math.max(LEAST_BUFFERS, Math.floor(MOST_BYTES / (4 * size)));
  }

  /**
   * The mean of a step; undefined where parts are missing.
   *
   * @param attempt the one that was committed; by default the last one received
   */
  of(step: number, attempt?: Attempt): Float32Array | undefined {
    const buffer = this.#buffers.get(step);
    if (buffer?.have.size !== this.#parts) return undefined;
    const { openedIn, leaves } = attempt ?? buffer.attempt;
    return buffer.attempt.openedIn === openedIn && buffer.attempt.leaves === leaves
      ? buffer.values
      : undefined;
  }

  /**
   * Takes a part.
   *
   * @returns false where it is not a part of this vector, belongs to an earlier attempt, or there are too many means
   */
  take(frame: Frame): boolean {
    const from = frame.part * this.partElements;
    const to = Math.min(from + this.partElements, this.size);
    const fits = frame.codec === this.codec.name && frame.parts === this.#parts && frame.part < this.#parts &&
      frame.payload.length === this.codec.byteLength(to - from);
    const buffer = fits ? this.#buffers.get(frame.step) ?? this.#begin(frame.step) : undefined;
    if (!buffer || isLater(buffer.attempt, frame)) return false;
    if (isLater(frame, buffer.attempt)) buffer.have.clear();
    buffer.attempt = { openedIn: frame.openedIn, leaves: frame.leaves };
    decode(this.codec, frame.payload, buffer.values.subarray(from, to));
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

  /** Earlier steps are needed first, and one far ahead may be none of the run's. */
  #makeRoom(step: number): boolean {
    const last = Math.max(...this.#buffers.keys());
    if (last <= step) return false;
    this.#buffers.delete(last);
    return true;
  }

  #begin(step: number): MeanBuffer | undefined {
    if (this.#buffers.size >= this.#most && !this.#makeRoom(step)) return undefined;
    const values = this.#spare.pop() ?? new Float32Array(this.size);
    const buffer = { values, have: new Set<number>(), attempt: { openedIn: 0, leaves: Infinity } };
    this.#buffers.set(step, buffer);
    return buffer;
  }
}

function isLater(one: Attempt, other: Attempt): boolean {
  return one.openedIn > other.openedIn || (one.openedIn === other.openedIn && one.leaves < other.leaves);
}
