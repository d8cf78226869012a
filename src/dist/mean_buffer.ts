/**
 * Where a worker collects the parts of a mean until the commit.
 *
 * @module
 */

import { floatBytes, type Frame } from "./frames.ts";

/** The mean of one step, part by part. */
export class MeanBuffer {
  /** The mean, once it is complete. */
  readonly values: Float32Array;
  #step = 0;
  readonly #have = new Set<number>();
  readonly #parts: number;

  /**
   * An empty buffer.
   *
   * @param size values of the vector
   * @param partElements values of a part
   */
  constructor(size: number, readonly partElements: number) {
    this.values = new Float32Array(size);
    this.#parts = Math.ceil(size / partElements);
  }

  /** Whether all parts of the mean of a step are here. */
  isComplete(step: number): boolean {
    return this.#step === step && this.#have.size === this.#parts;
  }

  /**
   * Takes a part. The first part of a later step begins that step's mean.
   *
   * @returns false where it is not a part of this vector
   */
  take(frame: Frame): boolean {
    const from = frame.part * this.partElements;
    const to = Math.min(from + this.partElements, this.values.length);
    const fits = frame.codec === "float32" && frame.parts === this.#parts && frame.part < this.#parts &&
      frame.payload.length === 4 * (to - from) && frame.step >= this.#step;
    if (!fits) return false;
    if (frame.step > this.#step) {
      this.#step = frame.step;
      this.#have.clear();
    }
    floatBytes(this.values.subarray(from, to)).set(frame.payload);
    this.#have.add(frame.part);
    return true;
  }
}
