/**
 * Error feedback: the quantization error of one step, the residual, is added to what is encoded in the next, so that a sum over the
 * steps is off by the last residual only. (Seide et al., "1-bit stochastic gradient descent", 2014; Karimireddy et al., "Error
 * feedback fixes SignSGD and other gradient compression schemes", 2019; of the sums and of their mean, as here: Tang et al.,
 * "DoubleSqueeze", 2019.)
 *
 * Residuals are in units of the mean, because the next sum may be over other tokens.
 *
 * @module
 */

import type { Feedback } from "./kernel.ts";
import { encode } from "./codecs.ts";
import type { VectorCodec } from "./codec.ts";

/** Residuals after the steps that were applied, by part of the vector. */
export type Residuals = ReadonlyMap<number, Float32Array>;

/** Residual of one part of the vector. */
interface Residual {
  /** After the steps that were applied. */
  committed: Float32Array;
  /** After the open step, where anything was encoded in it. */
  pending: Float32Array;
  /** The sums that were encoded in the open step: names, in order, and tokens. */
  encoded: Map<string, number>;
}

/** Encodes vectors part by part, with the residuals of one sender where the codec has feedback; they change only when a step is applied. */
export class FeedbackEncoder {
  readonly #residuals = new Map<number, Residual>();

  /** An encoder without residuals. */
  constructor(readonly codec: VectorCodec) {}

  /**
   * Encodes one part of a sum. The residual is added to the first sum that is encoded of a part in a step. Until the step ends
   * the same sum gives the same bytes, however often it is encoded.
   *
   * @param values part of a sum
   * @param tokens counted tokens of the whole batch, the divisor of the mean; 1 where `values` is the mean itself
   * @param name unique among the sums that are encoded in the open step
   * @param into receives the encoding
   */
  encode(part: number, values: Float32Array, tokens: number, name: string, into: Uint8Array): void {
    encode(this.codec, values, into, this.feedbackOf(part, values.length, tokens, name));
  }

  /** What one part of a sum is to be encoded with, which has to be done once then; parameters as in {@linkcode FeedbackEncoder.encode}. */
  feedbackOf(part: number, length: number, tokens: number, name: string): Feedback | undefined {
    if (!this.codec.hasFeedback) return undefined;
    return feedbackFrom(this.#residualOf(part, length), tokens, name);
  }

  /** The open step has ended: its residuals are committed where it was applied, and dropped where it was skipped. */
  endStep(applied: boolean): void {
    for (const residual of this.#residuals.values()) {
      const { committed, pending, encoded } = residual;
      if (encoded.size > 0 && applied) Object.assign(residual, { committed: pending, pending: committed });
      encoded.clear();
    }
  }

  /** Drops the residuals of other parts than these, which another process encodes from now on. */
  keepOnly(parts: readonly number[]): void {
    const kept = new Set(parts);
    for (const part of this.#residuals.keys()) if (!kept.has(part)) this.#residuals.delete(part);
  }

  /** A copy of the residuals after the steps that were applied. */
  residuals(): Residuals {
    return new Map([...this.#residuals].map(([part, { committed }]) => [part, committed.slice()]));
  }

  /** Resumes from residuals, which become its own, before anything is encoded. */
  resume(residuals: Residuals): void {
    for (const [part, committed] of residuals) {
      this.#residuals.set(part, residualFrom(committed));
    }
  }

  /** Drops all residuals. */
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

/** The residual that is added to a sum of the open step, and where its own goes, if the sum was not encoded before. */
function feedbackFrom({ committed, pending, encoded }: Residual, tokens: number, name: string): Feedback {
  const before = encoded.get(name);
  if (before === undefined) encoded.set(name, tokens);
  const [first] = encoded.keys();
  return {
    committed: name === first ? committed : undefined,
    pending: before === undefined ? pending : undefined,
    tokens: before ?? tokens,
  };
}
