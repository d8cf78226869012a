/**
 * Error feedback: what one step's encoding loses is added to what is encoded in the next, so that over the steps nothing is
 * lost. Residuals are in units of the mean, because the next sum may be over other tokens.
 *
 * @module
 */

import type { Carried } from "./kernel.ts";
import { encode } from "./codecs.ts";
import type { VectorCodec } from "./codec.ts";

/** What is left by the steps that were applied, by part of the vector. */
export type Residuals = ReadonlyMap<number, Float32Array>;

/** What is left of one part of the vector. */
interface Residual {
  /** By the steps that were applied. */
  committed: Float32Array;
  /** By the open step, where anything was encoded. */
  pending: Float32Array;
  /** What was encoded in the open step: names, in order, and tokens. */
  encoded: Map<string, number>;
}

/** Encodes vectors part by part, with the residuals of one sender where the codec has feedback. They change only when a step is applied. */
export class FeedbackEncoder {
  readonly #residuals = new Map<number, Residual>();

  /** An encoder without residuals. */
  constructor(readonly codec: VectorCodec) {}

  /**
   * Encodes one part of a sum. The first that is encoded of a part in a step also carries the residual. Until the step ends the
   * same sum gives the same bytes, however often it is encoded.
   *
   * @param values part of a sum
   * @param tokens of the whole batch, by which the mean is divided; 1 where `values` is the mean itself
   * @param name tells this sum apart from all others that are encoded in the open step
   * @param into gets it
   */
  encode(part: number, values: Float32Array, tokens: number, name: string, into: Uint8Array): void {
    encode(this.codec, values, into, this.feedbackOf(part, values.length, tokens, name));
  }

  /** How one part of a sum is to be encoded, which has to be done once then; parameters as in {@linkcode FeedbackEncoder.encode}. */
  feedbackOf(part: number, length: number, tokens: number, name: string): Carried | undefined {
    if (!this.codec.hasFeedback) return undefined;
    return carriedBy(this.#residualOf(part, length), tokens, name);
  }

  /** The open step has ended: it was applied, or skipped and what it would have left is forgotten. */
  endStep(applied: boolean): void {
    for (const residual of this.#residuals.values()) {
      const { committed, pending, encoded } = residual;
      if (encoded.size > 0 && applied) Object.assign(residual, { committed: pending, pending: committed });
      encoded.clear();
    }
  }

  /** Forgets the residuals of other parts than these: somebody else encodes them now. */
  keepOnly(parts: readonly number[]): void {
    const kept = new Set(parts);
    for (const part of this.#residuals.keys()) if (!kept.has(part)) this.#residuals.delete(part);
  }

  /** A copy of what is left by the steps that were applied. */
  residuals(): Residuals {
    return new Map([...this.#residuals].map(([part, { committed }]) => [part, committed.slice()]));
  }

  /** Goes on with residuals, which become its own, before anything is encoded. */
  resume(residuals: Residuals): void {
    for (const [part, committed] of residuals) {
      this.#residuals.set(part, residualFrom(committed));
    }
  }

  /** Forgets all residuals. */
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

/** What a sum of the open step carries along, and where what it loses is noted, if that was not done yet. */
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
