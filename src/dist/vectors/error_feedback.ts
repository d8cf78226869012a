/**
 * Error feedback (Seide et al. 2014, Karimireddy et al. 2019): the error of one step's encoding, the residual, is added to what is
 * encoded in the next step, so that errors do not accumulate. Residuals are in units of the mean, because the next sum may be over
 * a different number of tokens.
 *
 * @module
 */

import type { Carried } from "./kernel.ts";
import { encode } from "./codecs.ts";
import type { VectorCodec } from "./codec.ts";

/** Residuals after the last applied step, by part of the vector. */
export type Residuals = ReadonlyMap<number, Float32Array>;

/** Residual of one part of the vector. */
interface Residual {
  /** After the last applied step. */
  committed: Float32Array;
  /** After the open step, if anything was encoded in it. */
  pending: Float32Array;
  /** Sums that were encoded in the open step, in order: name and tokens. */
  encoded: Map<string, number>;
}

/** Encodes vectors part by part, with the residuals of one sender where the codec has error feedback. Residuals change only when a step is applied. */
export class FeedbackEncoder {
  readonly #residuals = new Map<number, Residual>();

  /** An encoder without residuals. */
  constructor(readonly codec: VectorCodec) {}

  /**
   * Encodes one part of a sum. The first sum that is encoded of a part in a step includes the residual. Until the step ends, the
   * same sum gives the same bytes each time.
   *
   * @param values part of a sum
   * @param tokens counted tokens of the whole batch, the divisor of the mean; 1 where `values` is the mean itself
   * @param name unique among the sums that are encoded in the open step
   * @param into receives the encoding
   */
  encode(part: number, values: Float32Array, tokens: number, name: string, into: Uint8Array): void {
    encode(this.codec, values, into, this.feedbackOf(part, values.length, tokens, name));
  }

  /** The residuals to encode one part of a sum with, which the caller then does exactly once; parameters as in {@linkcode FeedbackEncoder.encode}. */
  feedbackOf(part: number, length: number, tokens: number, name: string): Carried | undefined {
    if (!this.codec.hasFeedback) return undefined;
    return carriedBy(this.#residualOf(part, length), tokens, name);
  }

  /** Ends the open step; if it was not applied, its residuals are discarded. */
  endStep(applied: boolean): void {
    for (const residual of this.#residuals.values()) {
      const { committed, pending, encoded } = residual;
      if (encoded.size > 0 && applied) Object.assign(residual, { committed: pending, pending: committed });
      encoded.clear();
    }
  }

  /** Discards the residuals of all other parts: another process encodes those from now on. */
  keepOnly(parts: readonly number[]): void {
    const kept = new Set(parts);
    for (const part of this.#residuals.keys()) if (!kept.has(part)) this.#residuals.delete(part);
  }

  /** A copy of the residuals after the last applied step. */
  residuals(): Residuals {
    return new Map([...this.#residuals].map(([part, { committed }]) => [part, committed.slice()]));
  }

  /** Restores residuals, which it then owns, before anything is encoded. */
  resume(residuals: Residuals): void {
    for (const [part, committed] of residuals) {
      this.#residuals.set(part, residualFrom(committed));
    }
  }

  /** Discards all residuals. */
  drop(): void {
    this.#residuals.clear();
  }

  #residualOf(part: number, length: number): Residual {
    let residual = this.#residuals.get(part);
    if (residual?.committed.length !== length) {
      residual = residualFrom(new Float32Array(length));
      this.#residuals.set(part, residual);
    }
    return residual;
  }
}

function residualFrom(committed: Float32Array): Residual {
  return { committed, pending: new Float32Array(committed.length), encoded: new Map() };
}

/** The residual that is added to a sum of the open step, and where its encoding error is stored if that was not done yet. */
function carriedBy({ committed, pending, encoded }: Residual, tokens: number, name: string): Carried {
  const before = encoded.get(name);
  if (before === undefined) encoded.set(name, tokens);
  const [first] = encoded.keys();
  return {
    committed: name === first ? committed : undefined,
    pending: before === undefined ? pending : undefined,
    tokens: before ?? tokens,
  };
}
