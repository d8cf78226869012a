/**
 * Error feedback: what one step's encoding loses is added to what is encoded in the next, so that over the steps nothing is
 * lost. Residuals are in units of the mean, because the next sum may be over other tokens.
 *
 * @module
 */

import type { VectorCodec } from "./codecs.ts";
import type { Dither } from "./int8.ts";

/** What is left of one part of the vector. */
interface Residual {
  /** By the steps that were applied. */
  settled: Float32Array;
  /** By the open step, where anything was encoded. */
  pending: Float32Array;
  isPending: boolean;
}

/** The residuals of one who encodes vectors, part by part. They change only when a step is applied. */
export class Residuals {
  readonly #parts = new Map<number, Residual>();

  /**
   * Encodes one part of a sum. The first that is encoded of a part in a step also carries the residual.
   *
   * @param values part of a sum; what it carries is added to it
   * @param tokens of the whole batch, by which the mean is divided; 1 where `values` is the mean itself
   * @param decoded gets what those who receive the bytes will read
   */
  encode(
    codec: VectorCodec,
    part: number,
    values: Float32Array,
    tokens: number,
    into: Uint8Array,
    decoded: Float32Array,
    dither?: Dither,
  ): void {
    const residual = this.#of(part, values.length);
    const { settled, pending, isPending } = residual;
    if (!isPending) { for (let i = 0; i < values.length; i++) values[i] += settled[i] * tokens; }
    codec.encode(values, into, dither);
    codec.decode(into, decoded);
    if (isPending) {
      for (let i = 0; i < values.length; i++) {
        pending[i] += (values[i] - decoded[i]) / tokens;
      }
    } else for (let i = 0; i < values.length; i++) pending[i] = (values[i] - decoded[i]) / tokens;
    residual.isPending = true;
  }

  /** The open step has ended: it was applied, or skipped and what it would have left is forgotten. */
  settle(applied: boolean): void {
    for (const residual of this.#parts.values()) {
      const { settled, pending, isPending } = residual;
      if (isPending && applied) Object.assign(residual, { settled: pending, pending: settled });
      residual.isPending = false;
    }
  }

  /** Forgets everything. */
  drop(): void {
    this.#parts.clear();
  }

  #of(part: number, length: number): Residual {
    let residual = this.#parts.get(part);
    if (!residual) {
      residual = {
        settled: new Float32Array(length),
        pending: new Float32Array(length),
        isPending: false,
      };
      this.#parts.set(part, residual);
    }
    return residual;
  }
}
