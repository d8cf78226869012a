/**
 * A member's samples: it continues the prompts of the run token by token, between its other work.
 *
 * @module
 */

import { Halted } from "../../errors.ts";
import type { Replica } from "../replica/replica.ts";
import { sample, type SampleResult } from "../replica/samples.ts";

/** Callbacks of a sampler to its worker. */
export interface SamplerEffects {
  /** A token comes next. */
  progress(): void;
  /** Tells the coordinator the result. */
  tell(step: number, result: SampleResult): void;
  /** What is no matter of samples has failed. */
  fail(error: unknown): void;
}

/** Samples for one evaluation at a time. */
export class Sampler {
  /** The last step that it was asked about. */
  #step: number | undefined;
  #isBusy = false;
  #isStopped = false;
  #ended: Promise<void> = Promise.resolve();

  /** Nothing is sampled yet. */
  constructor(readonly replica: Pick<Replica, "step" | "sample">, readonly effects: SamplerEffects) {}

  /**
   * Copies the present parameters, and samples while the replica continues; not where it is busy with an earlier step.
   *
   * @param isAwaited whether this resolves only when all is done, earlier samples first
   */
  async sample(isAwaited: boolean): Promise<void> {
    if (isAwaited) await this.#ended;
    this.#begin();
    if (isAwaited) await this.#ended;
  }

  /** Begins, unless the order was repeated. */
  #begin(): void {
    const { replica: { step }, effects } = this;
    if (step === this.#step || this.#isStopped) return;
    this.#step = step;
    if (this.#isBusy) return effects.tell(step, { error: "those of an earlier step were not done yet" });
    this.#isBusy = true;
    this.#ended = this.#run(step);
  }

  /** Ends after the present token; what is not complete is lost. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#ended;
  }

  async #run(step: number): Promise<void> {
    try {
      const result = await sample(this.replica, () => {
        if (this.#isStopped) throw new Halted();
        this.effects.progress();
      });
      this.effects.tell(step, result);
    } catch (error) {
      if (!(error instanceof Halted)) this.effects.fail(error);
    } finally {
      this.#isBusy = false;
    }
  }
}
