/**
 * Where a worker collects the parts of means until their commits.
 *
 * @module
 */

import type { Refusal } from "../memory/libc.ts";
import { Neighbours, type SharedBytes } from "../memory/neighbours.ts";
import { decode } from "../vectors/codecs.ts";
import type { Frame } from "../protocol/frames.ts";
import type { Attempt } from "../protocol/messages.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** A newcomer buffers means during its state transfer: at most this many bytes, but at least this many means. */
const MOST_BYTES = 64 * 1024 * 1024;
const LEAST_BUFFERS = 4;

/** A complete mean. */
export interface Mean {
  /** Empty, or others, as soon as it does not hold any more. */
  readonly values: Float32Array;
  /** Whether the values are still those of the mean: true *after* they were used, where they lie in a reducer's memory. */
  holds(): boolean;
}

/** The mean of one step, part by part. */
interface MeanBuffer {
  /** All parts so far: in own memory, or in that of the one reducer that has made them. */
  values?: Float32Array;
  /** In the latter case whether they are still there. */
  holds?: () => boolean;
  have: Set<number>;
  attempt: Attempt;
}

/** Means by step. */
export class Means implements Disposable {
  readonly #buffers = new Map<number, MeanBuffer>();
  /** Vectors of finished steps, to be reused. */
  readonly #spare: Float32Array[] = [];
  readonly #neighbours = new Neighbours();
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
  of(step: number, attempt?: Attempt): Mean | undefined {
    const buffer = this.#buffers.get(step);
    if (!buffer?.values || buffer.have.size !== this.#parts) return undefined;
    const { openedIn, leaves } = attempt ?? buffer.attempt;
    const { values, holds = () => true } = buffer;
    return buffer.attempt.openedIn === openedIn && buffer.attempt.leaves === leaves
      ? { values, holds }
      : undefined;
  }

  /**
   * Takes a part, or some in a row.
   *
   * @param mayBorrow whether a part that is referred to may stay where it lies: else it is copied
   * @returns false where it is not a part of this vector, belongs to an earlier attempt, is no longer there, or there are too many
   *   means; a refusal where the memory of its reducer can't be opened
   */
  take(frame: Frame, mayBorrow = false): boolean | Refusal {
    const from = frame.part * this.partElements;
    const to = Math.min(from + (1 + frame.more) * this.partElements, this.size);
    const isOne = frame.codec === this.codec.name && frame.parts === this.#parts && from < to;
    if (!isOne) return false;
    const piece = this.#pieceOf(frame);
    if ("refused" in piece) return piece;
    const fits = piece.bytes.length === this.codec.byteLength(to - from) && piece.holds();
    const buffer = fits ? this.#buffers.get(frame.step) ?? this.#begin(frame.step) : undefined;
    if (!buffer || isLater(buffer.attempt, frame)) return false;
    if (isLater(frame, buffer.attempt) || buffer.holds?.() === false) this.#empty(buffer);
    buffer.attempt = { openedIn: frame.openedIn, leaves: frame.leaves };
    const isBorrowed = frame.byReference && mayBorrow && this.#borrow(buffer, piece, from);
    if (!isBorrowed && !this.#copy(buffer, piece, from, to)) return false;
    for (let i = 0; i <= frame.more; i++) buffer.have.add(frame.part + i);
    return true;
  }

  #pieceOf({ sender, byReference, payload }: Frame): SharedBytes | Refusal {
    return byReference ? this.#neighbours.read(sender, payload) : { bytes: payload, holds: () => true };
  }

  /** Leaves a part where it lies, if all parts so far lie around it as in one vector. */
  #borrow(buffer: MeanBuffer, { bytes, holds }: SharedBytes, from: number): boolean {
    const start = bytes.byteOffset - 4 * from;
    if (!this.codec.isExact || start < 0 || start + 4 * this.size > bytes.buffer.byteLength) return false;
    const { values } = buffer;
    if (values) {
      return buffer.holds !== undefined && values.buffer === bytes.buffer && values.byteOffset === start;
    }
    buffer.values = new Float32Array(bytes.buffer, start, this.size);
    buffer.holds = holds;
    return true;
  }

  /** Copies a part, and those that were only borrowed. Returns whether it was there until the end. */
  #copy(buffer: MeanBuffer, { bytes, holds }: SharedBytes, from: number, to: number): boolean {
    if (buffer.holds) {
      const own = this.#take();
      own.set(buffer.values!);
      if (!buffer.holds()) buffer.have.clear();
      Object.assign(buffer, { values: own, holds: undefined });
    }
    buffer.values ??= this.#take();
    decode(this.codec, bytes, buffer.values.subarray(from, to));
    return holds();
  }

  /** Drops all parts. */
  #empty(buffer: MeanBuffer): void {
    buffer.have.clear();
    if (buffer.holds) Object.assign(buffer, { values: undefined, holds: undefined });
  }

  /** Forgets the means up to a step. */
  forgetThrough(step: number): void {
    for (const [of, buffer] of this.#buffers) {
      if (of > step) continue;
      this.#buffers.delete(of);
      if (this.#spare.length === 0 && buffer.values && !buffer.holds) this.#spare.push(buffer.values);
    }
    this.#neighbours.closeUnused();
  }

  /** Closes the memory of reducers. */
  [Symbol.dispose](): void {
    this.#neighbours[Symbol.dispose]();
  }

  #take(): Float32Array {
    return this.#spare.pop() ?? new Float32Array(this.size);
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
    const buffer: MeanBuffer = { have: new Set<number>(), attempt: { openedIn: 0, leaves: Infinity } };
    this.#buffers.set(step, buffer);
    return buffer;
  }
}

function isLater(one: Attempt, other: Attempt): boolean {
  return one.openedIn > other.openedIn || (one.openedIn === other.openedIn && one.leaves < other.leaves);
}
