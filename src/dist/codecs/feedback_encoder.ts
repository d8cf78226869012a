/**
 * Error feedback: what one step's encoding loses is added to what is encoded in the next, so that over the steps nothing is
 * lost. Residuals are in units of the mean, because the next sum may be over other tokens.
 *
 * @module
 */

import { randomStream } from "../../prng.ts";
import type { VectorCodec } from "./codecs.ts";
import type { Dither } from "./int8.ts";

/** What is left by the steps that were applied, by part of the vector. */
export type Residuals = ReadonlyMap<number, Float32Array>;

/** What is left of one part of the vector. */
interface Residual {
  /** By the steps that were applied. */
  settled: Float32Array;
  /** By the open step, where anything was encoded. */
  pending: Float32Array;
  isPending: boolean;
}

/** Encodes vectors part by part, with the residuals of one sender where the codec has feedback. They change only when a step is applied. */
export class FeedbackEncoder {
  readonly #residuals = new Map<number, Residual>();

  /**
   * An encoder without residuals.
   *
   * @param roundingSeed rounds stochastically where the codec can, by streams of this seed; undefined: to nearest
   */
  constructor(readonly codec: VectorCodec, readonly roundingSeed?: number) {}

  /**
   * Encodes one part of a sum. The first that is encoded of a part in a step also carries the residual.
   *
   * @param values part of a sum; the bytes may be a view of it
   * @param tokens of the whole batch, by which the mean is divided; 1 where `values` is the mean itself
   * @param name tells this sum apart from all others that are encoded in the run: stochastic rounding depends on it
   */
  encode(part: number, values: Float32Array, tokens: number, name: string): Uint8Array {
    const { codec } = this;
    if (!codec.hasFeedback) return codec.encode(values);
    const residual = this.#residualOf(part, values.length);
    const { settled, pending, isPending } = residual;
    residual.isPending = true;
    const feedback = { settled: isPending ? undefined : settled, pending, tokens };
    return codec.encode(values, feedback, this.#ditherOf(`${name} part ${part}`));
  }

  #ditherOf(name: string): Dither | undefined {
    const { roundingSeed } = this;
    return roundingSeed === undefined
      ? undefined
      : { stream: randomStream(roundingSeed, `rounding ${name}`), from: 0 };
  }

  /** The open step has ended: it was applied, or skipped and what it would have left is forgotten. */
  settle(applied: boolean): void {
    for (const residual of this.#residuals.values()) {
      const { settled, pending, isPending } = residual;
      if (isPending && applied) Object.assign(residual, { settled: pending, pending: settled });
      residual.isPending = false;
    }
  }

  /** Forgets the residuals of other parts than these: somebody else encodes them now. */
  keepOnly(parts: readonly number[]): void {
    const kept = new Set(parts);
    for (const part of this.#residuals.keys()) if (!kept.has(part)) this.#residuals.delete(part);
  }

  /** A copy of what is left by the steps that were applied. */
  residuals(): Residuals {
    return new Map([...this.#residuals].map(([part, { settled }]) => [part, settled.slice()]));
  }

  /** Goes on with residuals, which become its own, before anything is encoded. */
  resume(residuals: Residuals): void {
    for (const [part, settled] of residuals) {
      const pending = new Float32Array(settled.length);
      this.#residuals.set(part, { settled, pending, isPending: false });
    }
  }

  /** Forgets all residuals. */
  drop(): void {
    this.#residuals.clear();
  }

  #residualOf(part: number, length: number): Residual {
    let residual = this.#residuals.get(part);
    if (residual?.settled.length !== length) {
      residual = { settled: new Float32Array(length), pending: new Float32Array(length), isPending: false };
      this.#residuals.set(part, residual);
    }
    return residual;
  }
}
